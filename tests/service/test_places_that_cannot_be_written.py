"""A place where nothing can be written is told in one line: what, where, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quorate.cli.failures import failure_of
from quorate.cli.program import run
from quorate.ledger.ledger import Ledger
from support.terminal import Capture

# Below a file nothing can be made, by whomever; what root may do depends on the machine.
CONFIG = '[server]\nlisten = "127.0.0.1:0"\n[[models]]\nid = "a"\nengine = "scripted"\n'
QUESTION = '{"prompt": "x", "answer": "yes", "match": "exact"}\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be: its parent is a file."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "quorate.toml").write_text(CONFIG)
    (tmp_path / "q.jsonl").write_text(QUESTION)
    Ledger.open(tmp_path / "ledger.sqlite3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUORATE_TARGET", raising=False)
    # What serve sets for its own process must not stay in this one.
    monkeypatch.setenv("GRPC_TRACE", "")
    return tmp_path / "file" / "home"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("models", "pull", "qwen2.5-0.5b-instruct"), "set QUORATE_HOME to a writable folder"),
        (("serve",), "set another path"),
        (("spend", "--ledger", "ledger.sqlite3", "--backup", "{place}"), "name another place"),
        (("calibrate", "q.jsonl", "--output", "{place}/c.json"), "name another file"),
    ],
)
def test_a_folder_that_cannot_be_is_one_line_with_a_remedy(
    place: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    remedy: str,
) -> None:
    monkeypatch.setenv("QUORATE_HOME", str(place))
    code = run([word.format(place=place) for word in words])
    told = capsys.readouterr()
    assert (code in (1, 2), told.out, told.err.count("\n")) == (True, "", 1)
    assert told.err.startswith("quorate: ")
    assert str(place.parent) in told.err
    assert told.err.endswith(f"{remedy}\n")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left; free some, or name another place"),
        (errno.EROFS, "it is read-only; name another place"),
        (errno.EACCES, "permission is denied; change its permissions, or name another place"),
    ],
)
def test_what_the_system_refuses_is_told_with_its_place(number: int, words: str) -> None:
    failure = failure_of(OSError(number, os.strerror(number), "/data/x"))
    assert (failure.text, failure.exit_code) == (f"quorate: /data/x: cannot be used: {words}", 1)
    assert failure.reason == "FILE_UNUSABLE"
