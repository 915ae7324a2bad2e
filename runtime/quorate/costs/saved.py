"""JSON files that keep what was learned: replaced as a whole, read with distrust.

It stands in the lowest room that learns; ``calibration`` above keeps its findings the same way.
Whatever reads a field raises ``ValueError`` where that is missing, something else or out of range;
so does every ``restore`` of what was learned.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

_MAX_BYTES = 64 * 1024 * 1024

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Table: TypeAlias = Mapping[str, Json]


def read_file(path: Path) -> bytes | None:
    """Reads a file, but little more than any that is believed; None where there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: No file can have such a name.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # Opening a pipe would wait for ever for somebody to write into it.
            raise OSError(errno.EINVAL, "is not a file")
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def parsed(raw: bytes) -> Table:
    """The table that a file holds.

    Raises:
        ValueError: It is too large or not JSON, or holds no table.
    """
    if len(raw) > _MAX_BYTES:
        raise ValueError("is too large")
    try:
        content = json.loads(raw)
    except RecursionError as error:
        raise ValueError("is nested too deep") from error
    if not isinstance(content, dict):
        raise ValueError("is not a table")
    return content


def replace_file(path: Path, content: str) -> None:
    """Puts a file in place in one step; the old one stays until then, and on any failure.

    Makes the folder where there is none. The content is on disk when this returns, under its name.

    Args:
        path: The file.
        content: All of it, as UTF-8.

    Raises:
        OSError: It cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, so that two writers never write into one file.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".new")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _sync(path.parent)


def table(fields: Table, name: str) -> Table:
    """A field that is a table."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a table")
    return value


def text(fields: Table, name: str) -> str:
    """A field that is a text."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value


def number(fields: Table, name: str, lowest: float = -math.inf, highest: float = math.inf) -> float:
    """A field that is a finite number within limits."""
    return _number(fields.get(name), name, lowest, highest)


def count(fields: Table, name: str) -> int:
    """A field that is a whole number, at least 0."""
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is not a count")
    return value


def numbers(
    fields: Table, name: str, longest: int, lowest: float = -math.inf, highest: float = math.inf
) -> list[float]:
    """A field that is a list of at most ``longest`` finite numbers within limits."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > longest:
        raise ValueError(f"{name} is not a list of up to {longest} numbers")
    return [_number(one, name, lowest, highest) for one in value]


def _number(value: Json, name: str, lowest: float, highest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is not a number")
    if not lowest <= value <= highest or abs(value) > 1e300:
        raise ValueError(f"{name} is out of range")
    return float(value)


def _sync(folder: Path) -> None:
    """Makes the new name itself survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
