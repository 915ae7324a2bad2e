"""Fetch one file from the hub into the store: resumed, pinned, checked, and all or nothing.

Order of one pull: describe the file (commit, SHA-256, size), check the disk, append to the
partial file, flush it to the disk, check size, SHA-256 and structure, give it its final name.
A crash at any point leaves a partial file or a complete one. A disk that fills up keeps the
partial file, because the next pull resumes from it; ``quorate models remove`` deletes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from quorate_registry.disk import Disk
from quorate_registry.errors import (
    BrokenFile,
    ChecksumMismatch,
    DownloadFailed,
    Interrupted,
    NotEnoughSpace,
    StoreUnusable,
)
from quorate_registry.gguf import read_facts
from quorate_registry.hub import Hub, RemoteFile
from quorate_registry.manifest import HubSource
from quorate_registry.store import PullRecord, Store, file_name

Progress = Callable[[int, int], None]
"""Called with the bytes that are on the disk and the bytes of the whole file."""

MARGIN_BYTES = 64 * 1024 * 1024
"""Free space that a download leaves to others."""
ATTEMPTS = 4
"""Failures in a row without a single new byte before a pull gives up."""
FIRST_PAUSE_S = 1.0

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Downloader:
    """Fetches files from one hub into one store.

    Args:
        store: where files go.
        hub: where they come from.
        disk: asked for free space, and written to.
        pause: waits for a number of seconds between two attempts.
    """

    def __init__(
        self, store: Store, hub: Hub, disk: Disk, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._hub = hub
        self._disk = disk
        self._pause = pause

    def fetch(self, model_id: str, source: HubSource, on_progress: Progress) -> Path:
        """Fetch a file unless it is there already; two processes fetch it once.

        Raises:
            DownloadFailed: the hub did not give the file.
            ChecksumMismatch: the bytes are not the published ones; they were deleted.
            BrokenFile: the file is not a sound GGUF file; it was deleted.
            NotEnoughSpace: before the download, or in the middle of it.
            StoreUnusable: the store cannot be written.
        """
        with self._store.locked(model_id) as folder:
            present = self._store.pulled(model_id, source)
            if present is not None:
                return present[0]
            remote = self._describe(source)
            part = self._store.part(model_id, source, remote.sha256 or remote.commit)
            try:
                self._complete(part, source, remote, on_progress)
                sha256 = self._checked(part, source, remote)
                return self._store.install(model_id, part, _record(source, remote, sha256))
            except BrokenPipeError:
                # The observer's output is gone; the disk has nothing to do with it.
                raise
            except OSError as error:
                raise self._disk_failure(error, folder, part, remote) from error

    def _describe(self, source: HubSource) -> RemoteFile:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                remote = self._hub.describe(source)
                break
            except Interrupted:
                if attempt == ATTEMPTS:
                    raise
                self._pause(FIRST_PAUSE_S * 2 ** (attempt - 1))
        if _COMMIT.fullmatch(source.revision) and source.revision != remote.commit:
            reason = f"pinned to commit {source.revision}, but the hub answered {remote.commit}"
            raise DownloadFailed(source.repo, source.file, reason)
        where = f"{source.repo}/{source.file} at commit {remote.commit[:12]}"
        if None not in (source.sha256, remote.sha256) and source.sha256 != remote.sha256:
            advice = "the hub offers another file than the manifest pins; nothing was downloaded"
            raise ChecksumMismatch(where, str(source.sha256), str(remote.sha256), advice)
        if source.size_bytes not in (None, remote.size_bytes):
            reason = f"has {remote.size_bytes} bytes, the manifest says {source.size_bytes}"
            raise DownloadFailed(source.repo, source.file, reason)
        return remote

    def _complete(
        self, part: Path, source: HubSource, remote: RemoteFile, on_progress: Progress
    ) -> None:
        # Unbuffered: what has been received is what a later pull can resume from.
        with part.open("ab", buffering=0) as file:
            if file.tell() > remote.size_bytes:
                file.truncate(0)
            self._require_space(part.parent, remote.size_bytes - file.seek(0, os.SEEK_END))
            failures, furthest = 0, file.tell()
            while file.tell() < remote.size_bytes:
                try:
                    self._append(file, source, remote, on_progress)
                except Interrupted:
                    # A server without ranges starts again from nothing: only new ground counts.
                    failures = 1 if file.tell() > furthest else failures + 1
                    furthest = max(furthest, file.tell())
                    if failures == ATTEMPTS:
                        raise
                    self._pause(FIRST_PAUSE_S * 2 ** (failures - 1))
            os.fsync(file.fileno())
        on_progress(remote.size_bytes, remote.size_bytes)

    def _append(
        self, file: BinaryIO, source: HubSource, remote: RemoteFile, on_progress: Progress
    ) -> None:
        offset = file.tell()
        with self._hub.open(source, remote.commit, offset) as (start, chunks):
            if start != offset:
                file.truncate(0)
                file.seek(0)
            if start not in (0, offset):
                raise Interrupted(source.repo, source.file, "the hub answered with another range")
            on_progress(file.tell(), remote.size_bytes)
            for chunk in chunks:
                if file.tell() + len(chunk) > remote.size_bytes:
                    file.truncate(0)
                    reason = "the hub sent more bytes than it announced; pull again"
                    raise DownloadFailed(source.repo, source.file, reason)
                self._disk.append(file, chunk)
                on_progress(file.tell(), remote.size_bytes)
        if file.tell() < remote.size_bytes:
            reason = "the connection ended before the file did; pull again to resume"
            raise Interrupted(source.repo, source.file, reason)

    def _require_space(self, folder: Path, missing_bytes: int) -> None:
        needed = missing_bytes + MARGIN_BYTES
        free = self._disk.free_bytes(folder)
        if missing_bytes and free < needed:
            raise NotEnoughSpace(folder, needed, free)

    def _checked(self, part: Path, source: HubSource, remote: RemoteFile) -> str:
        name = file_name(source.file)
        with part.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        expected = source.sha256 or remote.sha256
        if expected not in (None, actual):
            part.unlink()
            where = f"{source.repo}/{source.file} as downloaded"
            raise ChecksumMismatch(where, str(expected), actual, "deleted; pull again")
        try:
            if name.endswith(".gguf"):
                read_facts(part)
        except BrokenFile as error:
            part.unlink()
            reason = f"{error.reason}; the download was deleted"
            raise BrokenFile(part.with_name(name), reason) from error
        return actual

    def _disk_failure(
        self, error: OSError, folder: Path, part: Path, remote: RemoteFile
    ) -> NotEnoughSpace | StoreUnusable:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return StoreUnusable(folder, error.strerror or str(error))
        done = part.stat().st_size if part.exists() else 0
        needed = remote.size_bytes - done + MARGIN_BYTES
        return NotEnoughSpace(folder, needed, self._disk.free_bytes(folder))


def _record(source: HubSource, remote: RemoteFile, sha256: str) -> PullRecord:
    return PullRecord(
        repo=source.repo,
        file=source.file,
        revision=source.revision,
        commit=remote.commit,
        sha256=sha256,
        size_bytes=remote.size_bytes,
        pulled_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
