from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoint.__main__ import main
from checkpoint.progress import Progress
from gguf import GGMLQuantizationType
from tokenizers import Tokenizer

from support.gguf_files import BREAKAGES, smollm2, stories260k, write_broken
from support.repository import ROOT
from support.terminal import Capture
from unit.scripts_checkpoint.conftest import Parts

COMMAND = ROOT / "scripts" / "checkpoint_from_gguf"


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def assert_refused(captured: Capture, *words: str) -> None:
    out, err = captured.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("checkpoint_from_gguf: ")
    assert err.count("checkpoint_from_gguf: ") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in line


def test_the_command_makes_a_checkpoint_from_anywhere(tmp_path: Path) -> None:
    done = command(stories260k(), "made", "--dtype", "f32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "made: 292,800 parameters as f32, 1,171,200 bytes in 1 file, 512 tokens\n"
    )
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert done.stderr.splitlines()[-1] == "100% of the weights"


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = command("absent.gguf", "made", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "checkpoint_from_gguf: cannot read absent.gguf: No such file or directory\n"
    )


def test_the_other_form_tells_how_to_verify(tmp_path: Path) -> None:
    done = command("--verify", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--write-reference" in done.stdout


def test_smollm2_is_described_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "smol"
    assert main([str(smollm2()), str(folder), "--shard-gb", "0.2"]) == 0
    config = read(folder / "config.json")
    assert isinstance(config, dict)
    assert config["torch_dtype"] == "bfloat16"
    ids = [config[f"{name}_token_id"] for name in ("bos", "eos", "pad")]
    assert ids == [1, 2, 2]
    # <|endoftext|> and <reponame> end generation in llama.cpp too.
    assert read(folder / "generation_config.json") == {
        "bos_token_id": 1,
        "eos_token_id": [2, 4, 0],
        "pad_token_id": 2,
    }
    settings = read(folder / "tokenizer_config.json")
    assert isinstance(settings, dict)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert template == settings["chat_template"]
    assert "<|im_start|>" in template
    assert sorted(path.name for path in folder.glob("*.safetensors*")) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|>a").ids == [1, 81]


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_file_is_refused_in_one_line(kind: str, tmp_path: Path, capsys: Capture) -> None:
    broken = write_broken(kind, tmp_path, stories260k())
    assert main([str(broken), str(tmp_path / "made")]) == 1
    assert_refused(capsys, str(broken))
    assert [path.name for path in tmp_path.iterdir()] == [broken.name]


def test_a_failure_in_the_middle_leaves_no_folder(
    stories: Parts, tmp_path: Path, capsys: Capture
) -> None:
    last = "output.weight"
    stories.tensors[last] = np.zeros((512, 64), dtype=np.float64)
    stories.kinds[last] = GGMLQuantizationType.F64
    source = stories.write(tmp_path / "late.gguf")
    assert main([str(source), str(tmp_path / "made"), "--shard-gb", "0.0001"]) == 1
    _, err = capsys.readouterr()
    assert "50% of the weights" in err
    assert err.splitlines()[-1] == (
        f"checkpoint_from_gguf: {source}: {last} is stored as F64, which cannot be dequantised"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["late.gguf"]


def test_what_is_there_is_kept_unless_force_is_given(tmp_path: Path, capsys: Capture) -> None:
    made = tmp_path / "made"
    assert main([str(stories260k()), str(made)]) == 0
    capsys.readouterr()
    assert main([str(stories260k()), str(made), "--dtype", "f32"]) == 1
    assert_refused(capsys, str(made), "--force")
    assert main([str(stories260k()), str(made), "--dtype", "f32", "--force"]) == 0
    config = read(made / "config.json")
    assert isinstance(config, dict)
    assert config["torch_dtype"] == "float32"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(stories260k()), str(tmp_path / "file" / "made")]) == 1
    assert_refused(capsys, f"{tmp_path / 'file'} is not a folder")


@pytest.mark.parametrize("number", ["0", "-1", "inf", "nan", "much"])
def test_a_limit_must_be_a_positive_number(number: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["a", "b", f"--shard-gb={number}"])
    assert ended.value.code == 2
    assert f"{number} is not a positive number" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_changes() -> None:
    terminal = Terminal()
    progress = Progress(terminal, 4)
    progress.advance(1, "a")
    progress.advance(3, "b")
    progress.close()
    assert terminal.getvalue() == "\r\x1b[K 25%  a\r\x1b[K100%  b\r\x1b[K"


def test_a_pipe_sees_a_line_for_each_tenth() -> None:
    pipe = io.StringIO()
    progress = Progress(pipe, 1000)
    for _ in range(1000):
        progress.advance(1, "a")
    progress.close()
    assert pipe.getvalue().splitlines() == [f"{tenth}0% of the weights" for tenth in range(1, 11)]
