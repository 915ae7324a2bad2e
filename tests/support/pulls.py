"""Downloads into a store, with what tests want to know of them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import BinaryIO

from quorate_registry.disk import Disk
from quorate_registry.download import Downloader, Progress
from quorate_registry.hub import Hub
from quorate_registry.manifest import RemoteSource
from quorate_registry.store import Store


class SmallDisk(Disk):
    """A disk that has so many bytes free, and room for so many before it answers as a full one."""

    def __init__(self, free: int = 1 << 40, room: int = 1 << 40) -> None:
        self._free = free
        self._room = room

    def free_bytes(self, folder: Path) -> int:
        return self._free

    def append(self, file: BinaryIO, chunk: bytes) -> None:
        fits = chunk[: self._room]
        self._room -= len(fits)
        super().append(file, fits)
        if len(fits) < len(chunk):
            raise OSError(errno.ENOSPC, "No space left on device")


class Fetcher:
    """Pulls the model ``tiny`` without ever waiting.

    Attributes:
        pauses: Seconds it would have waited for.
        progress: What it told its observer.
    """

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self.store = Store(home)
        self.pauses: list[float] = []
        self.progress: list[tuple[int, int]] = []
        self._downloader = Downloader(self.store, Hub(), disk or Disk(), self.pauses.append)

    def fetch(self, source: RemoteSource, on_progress: Progress | None = None) -> Path:
        return self._downloader.fetch("tiny", source, on_progress or self._note)

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.store.folder("tiny").iterdir())

    def parts(self) -> list[str]:
        """Files in the partial folder of a snapshot."""
        (part,) = self.store.folder("tiny").glob(".checkpoint.*.part")
        return sorted(path.relative_to(part).as_posix() for path in part.rglob("*"))

    def _note(self, done: int, total: int) -> None:
        self.progress.append((done, total))
