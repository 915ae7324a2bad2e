"""Read a JSON object from a file that nobody vetted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quorate_registry.errors import BrokenFile


def read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read the object that a JSON file holds.

    Args:
        path: the file.
        max_bytes: a longer file is refused before anything of it is read.

    Raises:
        BrokenFile: the file cannot be read, is too long, or holds no JSON object.
    """
    try:
        if not path.is_file():
            raise BrokenFile(path, "is not a file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            text = file.read(max_bytes + 1)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    if len(text) > max_bytes:
        raise BrokenFile(path, f"has more than {max_bytes} bytes, which no model needs")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise BrokenFile(path, "is not JSON, or damaged") from error
    if not isinstance(value, dict):
        raise BrokenFile(path, "holds no JSON object")
    return value
