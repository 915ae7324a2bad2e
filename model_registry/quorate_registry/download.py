"""Fetch one file from the hub into the store: resumed, pinned, checked, and all or nothing.

Order of one pull: describe the file (commit, SHA-256, size), check the disk, append to the
partial file, flush it to the disk, check size, SHA-256 and structure, give it its final name.
A crash at any point leaves a partial file or a complete one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from quorate_registry.disk import Disk
from quorate_registry.errors import BrokenFile, ChecksumMismatch, DownloadFailed
from quorate_registry.gguf import read_facts
from quorate_registry.hashing import sha256_of
from quorate_registry.hub import Hub, RemoteFile
from quorate_registry.manifest import HubSource
from quorate_registry.records import PullRecord
from quorate_registry.store import Store, file_name
from quorate_registry.transfer import Progress, Transfer

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Downloader:
    """Fetches single files from one hub into one store.

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
        self._transfer = Transfer(hub, disk, pause)

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
                self._transfer.complete(part, source, remote, on_progress)
                sha256 = self._checked(part, source, remote)
                return self._store.install(model_id, part, _record(source, remote, sha256))
            except BrokenPipeError:
                # The observer's output is gone; the disk has nothing to do with it.
                raise
            except OSError as error:
                done = part.stat().st_size if part.exists() else 0
                missing = remote.size_bytes - done
                raise self._transfer.disk_failure(error, folder, missing) from error

    def _describe(self, source: HubSource) -> RemoteFile:
        remote = self._transfer.patiently(lambda: self._hub.describe(source))
        require_pinned(source.repo, source.file, source.revision, remote.commit)
        where = f"{source.repo}/{source.file} at commit {remote.commit[:12]}"
        if None not in (source.sha256, remote.sha256) and source.sha256 != remote.sha256:
            advice = "the hub offers another file than the manifest pins; nothing was downloaded"
            raise ChecksumMismatch(where, str(source.sha256), str(remote.sha256), advice)
        if source.size_bytes not in (None, remote.size_bytes):
            reason = f"has {remote.size_bytes} bytes, the manifest says {source.size_bytes}"
            raise DownloadFailed(source.repo, source.file, reason)
        return remote

    def _checked(self, part: Path, source: HubSource, remote: RemoteFile) -> str:
        name = file_name(source.file)
        actual = sha256_of(part)
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


def require_pinned(repo: str, file: str, revision: str, commit: str) -> None:
    """Check that a hub that was asked for a commit has answered with that commit.

    Raises:
        DownloadFailed: it has not.
    """
    if _COMMIT.fullmatch(revision) and revision != commit:
        reason = f"pinned to commit {revision}, but the hub answered {commit}"
        raise DownloadFailed(repo, file, reason)


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
