from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import Ask, commands_here, complaint
from support.loopback_hub import LoopbackHub
from support.manifests import write_manifest
from support.model_headers import (
    ARCHITECTURE,
    TENSOR,
    gguf_header,
    padded,
    pair,
    safetensors_file,
    text,
    u32,
)


def smallest_checkpoint() -> dict[str, bytes]:
    """One tensor of eight float32 weights, and a configuration that tries to steer a terminal."""
    entry = {"t": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}
    config = {
        "architectures": ["Evil\x1b[31mModel"],
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 64,
        "vocab_size": 8,
        "quantization_config": {"quant_method": "fp\x1b8"},
    }
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": safetensors_file(entry, bytes(32)),
        "chat_template.jinja": b"first\nsecond \x1b[2J",
    }


def smallest_model() -> bytes:
    """One tensor of eight float32 weights: enough to be a sound GGUF file."""
    pairs = [
        ARCHITECTURE,
        pair(b"general.name", 8, text(b"Evil \x1b[31mname")),
        pair(b"tokenizer.chat_template", 8, text(b"first\nsecond \x1b[2J")),
    ]
    return padded(gguf_header(pairs, [TENSOR]))


class Command:
    """``quorate models`` with its own home and hub."""

    def __init__(self, run: Ask, home: Path, hub: LoopbackHub) -> None:
        self._run = run
        self._variables = {
            "QUORATE_HOME": str(home / "quorate"),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "COLUMNS": "80",
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("models", *arguments, **self._variables)

    def lines(self, *arguments: str) -> list[dict[str, object]]:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fails(self, *arguments: str) -> str:
        return complaint(self(*arguments), 1)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as running:
        running.add("someone/tiny-GGUF", "tiny.gguf", smallest_model())
        for name, content in smallest_checkpoint().items():
            running.add("someone/tiny", name, content, large=name == "model.safetensors")
        yield running


@pytest.fixture
def models(
    tmp_path: Path,
    hub: LoopbackHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    home = tmp_path / "quorate"
    write_manifest(home, "tiny", kind="hub", repo="someone/tiny-GGUF", file="tiny.gguf")
    tiny = {"repo": "someone/tiny", "approximate_bytes": 1500}
    write_manifest(home, "folder", kind="snapshot", **tiny)
    return Command(commands_here(tmp_path, monkeypatch, capsys), tmp_path, hub)


def test_a_model_is_listed_pulled_inspected_verified_and_removed(
    models: Command, tmp_path: Path
) -> None:
    def state() -> object:
        return next(line for line in models.lines("list") if line["id"] == "tiny")["state"]

    assert state() == "available"
    pulled = models("pull", "tiny")
    path = tmp_path / "quorate" / "models" / "tiny" / "tiny.gguf"
    assert (pulled.returncode, pulled.stdout) == (0, f"{path}\n")
    assert path.read_bytes() == smallest_model()
    assert state() == "pulled"
    (facts,) = models.lines("inspect", "tiny")
    assert (facts["architecture"], facts["parameters"]) == ("llama", 8)
    (checked,) = models.lines("verify", "tiny")
    assert (checked["ok"], checked["pinned"]) == (True, True)
    (removed,) = models.lines("remove", "tiny")
    assert removed["id"] == "tiny"
    assert not path.exists()
    assert state() == "available"


def test_a_checkpoint_is_listed_pulled_inspected_verified_and_removed(
    models: Command, tmp_path: Path
) -> None:
    def listed() -> dict[str, object]:
        return next(line for line in models.lines("list") if line["id"] == "folder")

    size = sum(map(len, smallest_checkpoint().values()))
    assert (listed()["state"], listed()["engine"]) == ("available", "vllm")
    assert listed()["source"] == {
        "kind": "snapshot",
        "repo": "someone/tiny",
        "files": [],
        "revision": "main",
        "approximate_bytes": 1500,
    }
    *progress, last = models.lines("pull", "folder")
    folder = tmp_path / "quorate" / "models" / "folder" / "checkpoint"
    assert last == {"event": "pulled", "id": "folder", "path": str(folder)}
    assert progress[-1]["done_bytes"] == progress[-1]["total_bytes"] == size
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == smallest_checkpoint()
    assert (listed()["state"], listed()["size_bytes"]) == ("pulled", size)
    (facts,) = models.lines("inspect", "folder", "--context", "10")
    assert (facts["parameters"], facts["layers"], facts["head_size"]) == (8, 2, 16)
    assert facts["memory"] == {"context_tokens": 10, "bytes": 32 + 10 * 2 * 2 * 4 * 16 * 2}
    (checked,) = models.lines("verify", "folder")
    assert (checked["ok"], checked["pinned"], checked["files"]) == (True, True, 3)
    shown = models("verify", "folder").stdout
    assert f"folder: ok, 3 files, {size} bytes, sound checkpoint" in shown
    (removed,) = models.lines("remove", "folder")
    assert int(str(removed["freed_bytes"])) > size
    assert not folder.exists()


def test_an_available_checkpoint_shows_about_how_large_it_is(models: Command) -> None:
    (line,) = (one for one in models("list").stdout.splitlines() if one.startswith("folder "))
    assert line.split() == ["folder", "available", "~1.50", "kB", "-", "MIT"]


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        ("folder", ["architecture     Evil·[31mModel", "quantisation     fp·8", "  second ·[2J"]),
        ("tiny", ["Evil ·[31mname", "  second ·[2J"]),
    ],
)
def test_text_from_a_file_cannot_steer_the_terminal(
    models: Command, model: str, lines: list[str]
) -> None:
    models("pull", model)
    shown = models("inspect", model).stdout
    assert "\x1b" not in shown
    for line in lines:
        assert line in shown


def test_a_changed_file_of_a_checkpoint_is_named(models: Command, tmp_path: Path) -> None:
    models("pull", "folder")
    folder = tmp_path / "quorate" / "models" / "folder" / "checkpoint"
    (folder / "chat_template.jinja").write_bytes(b"first\nsecond \x1b[3J")
    assert f"{folder / 'chat_template.jinja'}: SHA-256 is " in models.fails("verify", "folder")
    (folder / "chat_template.jinja").unlink()
    assert f"{folder}: lacks chat_template.jinja; " in models.fails("verify", "folder")


def test_an_unknown_cache_is_said_to_be_unknown(models: Command, tmp_path: Path) -> None:
    folder = tmp_path / "latent"
    folder.mkdir()
    for name, content in smallest_checkpoint().items():
        (folder / name).write_bytes(content)
    config = json.loads((folder / "config.json").read_text()) | {"kv_lora_rank": 512}
    (folder / "config.json").write_text(json.dumps(config))
    shown = models("inspect", str(folder)).stdout
    assert "KV cache         unknown" in shown
    assert "memory           unknown with 4,096 tokens" in shown
    assert "latent: ok, 3 files" in models("verify", str(folder)).stdout


def test_the_plain_list_fits_80_columns_and_has_no_escape_codes(models: Command) -> None:
    done = models("list")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["MODEL", "STATE", "SIZE", "CONTEXT", "LICENCE"]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert any(line.split()[:2] == ["tiny", "available"] for line in lines)


def test_json_progress_ends_with_the_path(models: Command) -> None:
    *progress, last = models.lines("pull", "tiny")
    assert last["event"] == "pulled"
    assert {line["event"] for line in progress} == {"progress"}
    assert progress[-1]["done_bytes"] == progress[-1]["total_bytes"] == len(smallest_model())


def test_a_pipe_gets_progress_as_plain_lines_on_standard_error(models: Command) -> None:
    done = models("pull", "tiny")
    assert done.stderr.splitlines()[-1].endswith("100%")
    assert "\x1b" not in done.stderr


def test_a_path_can_be_inspected_and_verified(models: Command, tmp_path: Path) -> None:
    path = tmp_path / "My.gguf"
    path.write_bytes(smallest_model())
    assert "architecture     llama" in models("inspect", str(path)).stdout
    assert "my: ok, " in models("verify", str(path)).stdout


def test_what_can_never_run_is_told_beside_the_facts(models: Command, tmp_path: Path) -> None:
    path = tmp_path / "embedder.gguf"
    pooling = pair(b"llama.pooling_type", 4, u32(1))
    path.write_bytes(padded(gguf_header([ARCHITECTURE, pooling], [TENSOR])))
    assert "runs             no: it is an embedding model" in models("inspect", str(path)).stdout
    checked = models("verify", str(path))
    assert checked.returncode == 0
    assert "cannot run: it is an embedding model (pooling_type is mean)" in checked.stdout
    (facts,) = models.lines("inspect", str(path))
    assert str(facts["obstacle"]).startswith("it is an embedding model")
    decoder = tmp_path / "decoder.gguf"
    head = TENSOR.replace(text(b"t"), text(b"output.weight"), 1)
    decoder.write_bytes(padded(gguf_header([ARCHITECTURE], [head])))
    assert "runs             nothing speaks against it" in models("inspect", str(decoder)).stdout
    (facts,) = models.lines("verify", str(decoder))
    assert facts["obstacle"] is None


def test_failures_are_one_line_and_exit_code_1(models: Command, tmp_path: Path) -> None:
    assert "did you mean tiny" in models.fails("pull", "tinny")
    assert "run quorate models pull tiny" in models.fails("inspect", "tiny")
    assert "offline" in models.fails("pull", "tiny", "--offline")
    assert "nothing to remove" in models.fails("remove", "tiny")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    assert f"{broken}: is truncated" in models.fails("verify", str(broken))


def test_a_pull_that_fails_ends_with_its_reason_and_leaves_no_file(
    models: Command, hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.corrupt = True
    done = models("pull", "tiny")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("quorate: someone/tiny-GGUF/tiny.gguf as downloaded: SHA-256 is ")
    assert not (tmp_path / "quorate" / "models" / "tiny" / "tiny.gguf").exists()


def test_a_broken_manifest_is_named(models: Command, tmp_path: Path) -> None:
    (tmp_path / "quorate" / "models.d" / "bad.toml").write_text("idd = 1\n")
    assert "bad.toml: key 'idd'" in models.fails("list")


@pytest.mark.parametrize("arguments", [("pull",), ("inspect", "tiny", "--context", "0"), ("go",)])
def test_wrong_usage_is_exit_code_2(models: Command, arguments: tuple[str, ...]) -> None:
    done = models(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
