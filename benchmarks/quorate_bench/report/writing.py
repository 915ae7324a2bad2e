"""Puts a report on the disk: the page, its figures, and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quorate.errors import CannotRun
from quorate_bench.records import Records
from quorate_bench.report.advice import advice
from quorate_bench.report.drawing import png
from quorate_bench.report.pictures import pictures
from quorate_bench.report.profiles import profiles_toml
from quorate_bench.summary import Summary, base_cases


def write_text(path: Path, text: str) -> Path:
    """Writes a file of text.

    Raises:
        CannotRun: It cannot be written.
    """
    return _write(path, text.encode())


def write_pictures(folder: Path, records: Records, found: Sequence[Summary]) -> list[Path]:
    """Writes every figure as a PNG.

    Raises:
        CannotRun: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(str(folder), f"cannot be made: {error.strerror}") from error
    return [_write(folder / f"{one.name}.png", png(one)) for one in pictures(records, found)]


def write_config(path: Path, records: Records, found: Sequence[Summary]) -> Path:
    """Writes the best plans as profiles.

    Raises:
        CannotRun: No plan can be told to be better than another, or it cannot be written.
    """
    best = advice(base_cases(found))
    if not best:
        raise CannotRun(str(path), "the records tell of no plan how good it is")
    return _write(path, profiles_toml(records, best).encode())


def _write(path: Path, content: bytes) -> Path:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CannotRun(str(path), f"cannot be written: {error.strerror}") from error
    return path
