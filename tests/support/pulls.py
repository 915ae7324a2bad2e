"""Downloads into a store, with what tests want to know of them."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quorate_registry.download import Downloader, Progress
from quorate_registry.hub import Hub
from quorate_registry.manifest import HubSource, RemoteSource
from quorate_registry.store import Store
from quorate_registry.transfer import Disk
from support.loopback_hub import LoopbackHub

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
"""Files of the small checkpoint."""


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
        """Files in the partial folder of a checkpoint."""
        part = self._part()
        return sorted(path.relative_to(part).as_posix() for path in part.rglob("*"))

    def partial(self, file: str) -> Path:
        """Where an unfinished pull keeps what has arrived of a file."""
        part = self._part()
        return part / file if part.is_dir() else part

    def _part(self) -> Path:
        (part,) = self.store.folder("tiny").glob(".*.part")
        return part

    def _note(self, done: int, total: int) -> None:
        self.progress.append((done, total))


@dataclass(frozen=True)
class Published:
    """A model on the hub, either a file or a checkpoint.

    Attributes:
        hub: Where it is published.
        source: What a manifest says of it, without pins.
        content: Its files by their path in the repository, in the order of a pull.
        name: What a pull calls it in the folder of the model.
        early: A file of weights; in a checkpoint another comes after it.
    """

    hub: LoopbackHub
    source: RemoteSource
    content: Mapping[str, bytes]
    name: str
    early: str

    @property
    def last(self) -> str:
        return list(self.content)[-1]

    @property
    def total_bytes(self) -> int:
        return sum(map(len, self.content.values()))

    def bytes_before(self, file: str) -> int:
        sizes = list(map(len, self.content.values()))
        return sum(sizes[: list(self.content).index(file)])

    @property
    def asked_for(self) -> str:
        """What the hub is asked to describe."""
        repo = self.source.repo
        return f"{repo}/{self.last}" if isinstance(self.source, HubSource) else repo

    def cut(self, file: str, *lengths: int) -> None:
        """Ends connections after so many bytes of one file, and leaves those before it alone."""
        whole = [100_000] * list(self.content).index(file)
        self.hub.faults.cut_after = deque([*whole, *lengths])

    def read(self, path: Path) -> dict[str, bytes]:
        """What a pull has brought, by path in the repository."""
        if path.is_file():
            return {self.last: path.read_bytes()}
        return folder_content(path)


def folder_content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
