"""What is refused before vLLM is imported; the rest is in ``tests/vllm``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from quorate.engines.vllm.checkpoint import check_folder, weight_bytes
from quorate.engines.vllm.failures import one_line
from quorate.engines.vllm.options import VllmOptions
from quorate.engines.vllm.start import load
from quorate.errors import ModelUnusable


def checkpoint(folder: Path, config: object = None, weights: str = "model.safetensors") -> Path:
    """A folder that looks like a checkpoint."""
    described = {"architectures": ["LlamaForCausalLM"]} if config is None else config
    (folder / "config.json").write_text(json.dumps(described))
    (folder / weights).write_bytes(b"12345")
    return folder


def test_a_checkpoint_passes(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    check_folder(str(folder), "m")
    assert weight_bytes(str(folder)) == 5


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"m: .*/nowhere does not exist"):
        check_folder(str(tmp_path / "nowhere"), "m")


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ModelUnusable, match="is a file; vLLM loads checkpoint folders"):
        check_folder(str(file), "m")


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"has no config\.json"):
        check_folder(str(tmp_path), "m")


@pytest.mark.parametrize("text", ["", "{", '"text"', "[]", "{}", '{"architectures": []}'])
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    folder = checkpoint(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelUnusable, match=r"config\.json (cannot be read|names no architecture)"):
        check_folder(str(folder), "m")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, weights="pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="pickles are never loaded"):
        check_folder(str(folder), "m")


def test_without_vllm_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "vllm", None)
    folder = checkpoint(tmp_path)
    with pytest.raises(ModelUnusable, match=r"needs vLLM.*scripts/setup_vllm") as refused:
        load(str(folder), VllmOptions(), 1, lambda _: None)
    assert "\n" not in refused.value.message


def test_a_reason_of_several_lines_becomes_one() -> None:
    error = ValueError("No room.\n\n  Needed: 3 GiB\tthere is 1.")
    assert one_line(error) == "No room. Needed: 3 GiB there is 1."


def test_a_long_reason_is_cut() -> None:
    line = one_line(RuntimeError("word " * 1000))
    assert len(line) <= 400
    assert line.endswith("…")


def test_an_exception_without_text_tells_its_kind() -> None:
    assert one_line(MemoryError()) == "MemoryError"


class _Validation(ValueError):
    """As pydantic's: the text lists every input, the problems stand apart."""

    def errors(self) -> list[dict[str, str]]:
        return [{"msg": "Value error, architecture X is not known"}, {"msg": "too long"}]


def test_of_a_validation_only_the_problems_are_told() -> None:
    error = _Validation("2 validation errors\n input_value=...")
    assert one_line(error) == "architecture X is not known; too long"
