"""What holds for both kinds of weight files that nobody vetted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate_registry.gguf import read_facts
from quorate_registry.safetensors_header import read_header
from support.model_headers import refusal
from support.pulls import SECOND

READERS = {"gguf": read_facts, "safetensors": read_header}


KINDS = pytest.mark.parametrize("kind", READERS)


def reason(kind: str, path: Path) -> str:
    broken = refusal(READERS[kind], path)
    assert broken.path == path
    return broken.reason


@KINDS
def test_things_that_are_not_files_are_refused(kind: str, tmp_path: Path) -> None:
    assert reason(kind, tmp_path / f"absent.{kind}") == "does not exist"
    assert reason(kind, tmp_path) == "is not a file"
    pipe = tmp_path / f"pipe.{kind}"
    os.mkfifo(pipe)
    assert reason(kind, pipe) == "is not a file"


@KINDS
def test_every_truncation_is_refused(
    kind: str, tiny_gguf: Path, tiny_checkpoint: dict[str, bytes], tmp_path: Path
) -> None:
    content = tiny_gguf.read_bytes() if kind == "gguf" else tiny_checkpoint[SECOND]
    path = tmp_path / f"cut.{kind}"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert reason(kind, path)
