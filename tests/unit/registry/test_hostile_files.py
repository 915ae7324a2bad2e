"""What holds for both kinds of weight files that nobody vetted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate_registry.gguf import read_facts
from quorate_registry.safetensors_header import read_header
from support.model_headers import refusal
from support.pulls import SECOND

READERS = {"gguf": read_facts, "safetensors": read_header}


@pytest.fixture(params=READERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reason(kind: str) -> Callable[[Path], str]:
    def reason_of(path: Path) -> str:
        broken = refusal(READERS[kind], path)
        assert broken.path == path
        return broken.reason

    return reason_of


def test_things_that_are_not_files_are_refused(
    kind: str, reason: Callable[[Path], str], tmp_path: Path
) -> None:
    assert reason(tmp_path / f"absent.{kind}") == "does not exist"
    assert reason(tmp_path) == "is not a file"
    pipe = tmp_path / f"pipe.{kind}"
    os.mkfifo(pipe)
    assert reason(pipe) == "is not a file"


def test_every_truncation_is_refused(
    kind: str,
    reason: Callable[[Path], str],
    tiny_gguf: Path,
    tiny_checkpoint: dict[str, bytes],
    tmp_path: Path,
) -> None:
    content = tiny_gguf.read_bytes() if kind == "gguf" else tiny_checkpoint[SECOND]
    path = tmp_path / f"cut.{kind}"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert reason(path)
