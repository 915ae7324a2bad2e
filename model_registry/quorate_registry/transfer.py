"""Bring the bytes of one remote file to the disk, resumed as often as it takes.

A crash at any point leaves the start of the file, from which the next pull goes on. So does a disk
that fills up; ``quorate models remove`` deletes what is kept.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from quorate_registry.errors import DownloadFailed, Interrupted, NotEnoughSpace, StoreUnusable
from quorate_registry.hub import Hub
from quorate_registry.remote_files import RemoteFile, RemoteFiles

FileProgress = Callable[[int], None]
"""Called with the bytes of one file that are on the disk."""

MARGIN_BYTES = 64 * 1024 * 1024
"""Free space that a download leaves to others."""
ATTEMPTS = 4
"""Failures in a row without a single new byte before a pull gives up."""
FIRST_PAUSE_S = 1.0

_T = TypeVar("_T")


class Disk:
    """The few things a download asks of the real disk; tests fill theirs up."""

    def free_bytes(self, folder: Path) -> int:
        """Bytes that an ordinary user can still write in `folder`."""
        return shutil.disk_usage(folder).free

    def append(self, file: BinaryIO, chunk: bytes) -> None:
        """Write one chunk at the end of an unbuffered file.

        Raises:
            OSError: as the operating system gives it, ENOSPC among them.
        """
        view = memoryview(chunk)
        while view:
            written = file.write(view)
            view = view[written:]


class Transfer:
    """Moves bytes from one hub to one disk; ``pause`` waits so many seconds between attempts."""

    def __init__(self, hub: Hub, disk: Disk, pause: Callable[[float], None] = time.sleep) -> None:
        self._hub = hub
        self._disk = disk
        self._pause = pause

    def patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask the hub something, again where it fails in a way that may pass.

        Raises:
            DownloadFailed: the hub did not answer.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return ask()
            except Interrupted:
                self._pause(FIRST_PAUSE_S * 2 ** (attempt - 1))
        return ask()

    def complete(
        self, part: Path, remote: RemoteFiles, file: RemoteFile, on_progress: FileProgress
    ) -> None:
        """Append to a partial file, made where it is absent, until it has the size of the remote.

        Raises:
            DownloadFailed: the hub did not give the file.
            NotEnoughSpace: there is no room for the rest of it.
            OSError: the disk failed; see `disk_failure`.
        """
        # Unbuffered: what has been received is what a later pull can resume from.
        with part.open("ab", buffering=0) as output:
            if output.tell() > file.size_bytes:
                output.truncate(0)
            self.require_space(part.parent, file.size_bytes - output.seek(0, os.SEEK_END))
            failures, furthest = 0, output.tell()
            while output.tell() < file.size_bytes:
                try:
                    self._append(output, remote, file, on_progress)
                except Interrupted:
                    # A server without ranges starts again from nothing: only new ground counts.
                    failures = 1 if output.tell() > furthest else failures + 1
                    furthest = max(furthest, output.tell())
                    if failures == ATTEMPTS:
                        raise
                    self._pause(FIRST_PAUSE_S * 2 ** (failures - 1))
            os.fsync(output.fileno())
        on_progress(file.size_bytes)

    def _append(
        self, output: BinaryIO, remote: RemoteFiles, file: RemoteFile, on_progress: FileProgress
    ) -> None:
        offset, repo = output.tell(), remote.source.repo
        with self._hub.open(remote, file, offset) as (start, chunks):
            if start != offset:
                output.truncate(0)
                output.seek(0)
            if start not in (0, offset):
                raise Interrupted(repo, file.path, "the hub answered with another range")
            on_progress(output.tell())
            for chunk in chunks:
                if output.tell() + len(chunk) > file.size_bytes:
                    output.truncate(0)
                    reason = "the hub sent more bytes than it announced; pull again"
                    raise DownloadFailed(repo, file.path, reason)
                self._disk.append(output, chunk)
                on_progress(output.tell())
        if output.tell() < file.size_bytes:
            reason = "the connection ended before the file did; pull again to resume"
            raise Interrupted(repo, file.path, reason)

    def require_space(self, folder: Path, missing_bytes: int) -> None:
        """Check that so many bytes fit on the disk.

        Raises:
            NotEnoughSpace: they do not.
        """
        needed = missing_bytes + MARGIN_BYTES
        free = self._disk.free_bytes(folder)
        if missing_bytes and free < needed:
            raise NotEnoughSpace(folder, needed, free)

    def disk_failure(
        self, error: OSError, folder: Path, missing_bytes: int
    ) -> NotEnoughSpace | StoreUnusable:
        """What an error of the disk means for a pull that lacked so many bytes when it struck."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return StoreUnusable(folder, error.strerror or str(error))
        needed = missing_bytes + MARGIN_BYTES
        return NotEnoughSpace(folder, needed, self._disk.free_bytes(folder))
