"""Open and read files that nobody vetted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from quorate_registry.errors import BrokenFile


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, and nothing that is not one.

    Raises:
        BrokenFile: it is no file, or cannot be opened or, inside the ``with`` block, read.
    """
    try:
        if not path.is_file():
            # Opening a pipe would wait for ever for somebody to write into it.
            raise BrokenFile(path, "is not a file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error


def read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read the object that a JSON file holds; a longer one is refused before it is parsed.

    Raises:
        BrokenFile: the file cannot be read, is too long, or holds no JSON object.
    """
    with opened(path) as file:
        text = file.read(max_bytes + 1)
    if len(text) > max_bytes:
        raise BrokenFile(path, f"has more than {max_bytes} bytes, which no model needs")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise BrokenFile(path, "is not JSON, or damaged") from error
    if not isinstance(value, dict):
        raise BrokenFile(path, "holds no JSON object")
    return value
