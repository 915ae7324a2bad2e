"""A GGUF model that was split into several files, of which the first names the model.

The names are those that llama.cpp's ``gguf-split`` writes and its loader asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from quorate_registry.errors import BrokenFile
from quorate_registry.gguf_layout import Value

_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MOST_PARTS = 1 << 12


def names(file: str) -> tuple[str, ...]:
    """The names of all files of the model that a file belongs to, by its own name; none if whole.

    Args:
        file: a name, or a path with forward slashes, whose folder the others are in as well.
    """
    folder, slash, name = file.rpartition("/")
    named = _NAME.fullmatch(name)
    if named is None:
        return ()
    place, count = int(named[2]), int(named[3])
    if not 2 <= count <= _MOST_PARTS or not 1 <= place <= count:
        return ()
    return tuple(
        f"{folder}{slash}{named[1]}-{part + 1:05}-of-{count:05}.gguf" for part in range(count)
    )


def siblings(path: Path) -> tuple[Path, ...]:
    """The files of the model that a file belongs to, by its name, there or not; itself if whole."""
    return tuple(path.with_name(name) for name in names(path.name)) or (path,)


def parts(path: Path, metadata: Mapping[str, Value]) -> tuple[Path, ...]:
    """The files of a model, by the metadata of the one that is named; itself, where it is whole.

    Raises:
        BrokenFile: It is not the first part, has another name than its parts must have, or one of
            them is missing.
    """
    count, place = (metadata.get(key, 0) for key in ("split.count", "split.no"))
    if not isinstance(count, int) or not isinstance(place, int) or count < 2:
        return (path,)
    if count > _MOST_PARTS or not 0 <= place < count:
        raise BrokenFile(path, f"claims to be part {place + 1} of {count}")
    named = _NAME.fullmatch(path.name)
    if named is None or (int(named[2]), int(named[3])) != (place + 1, count):
        wanted = f"NAME-{place + 1:05}-of-{count:05}.gguf"
        raise BrokenFile(path, f"is part {place + 1} of {count}, and must keep its name, {wanted}")
    files = siblings(path)
    if place:
        raise BrokenFile(path, f"is part {place + 1} of {count}; name the first, {files[0].name}")
    for file in files:
        if not file.exists():
            raise BrokenFile(path, f"is split into {count} files, of which {file.name} is missing")
    return files
