"""Fetch a model from the hub into the store: resumed, of one commit, checked, and all or nothing.

Order of one pull: describe the files (commit, checksums, sizes), choose among them, check the disk
for all of them, bring them one after the other, each flushed to the disk and checked when it is
complete (size, checksum, structure), check that they fit each other, give the whole its final
name. A crash at any point leaves a partial file or folder, or a complete one; the next pull takes
over what is there, after another look at every byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from quorate_registry.errors import ChecksumMismatch, DownloadFailed
from quorate_registry.file_sets import Checkpoint, FileSet, SingleFile, SplitFile
from quorate_registry.hashing import SHA1, git_blob_id, sha256_of
from quorate_registry.hub import Hub
from quorate_registry.manifest import HubSource, RemoteSource
from quorate_registry.records import RecordedFile
from quorate_registry.remote_files import RemoteFile, RemoteFiles
from quorate_registry.shards import names
from quorate_registry.store import Store
from quorate_registry.transfer import Disk, FileProgress, Transfer

Progress = Callable[[int, int], None]
"""Called with the bytes that are on the disk and the bytes of all that is pulled."""


class Downloader:
    """Fetches files and checkpoints from one hub into one store, as `Transfer` does."""

    def __init__(
        self, store: Store, hub: Hub, disk: Disk, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._hub = hub
        self._transfer = Transfer(hub, disk, pause)

    def fetch(self, model_id: str, source: RemoteSource, on_progress: Progress) -> Path:
        """Fetch a file or checkpoint unless it is there already; two processes fetch it once.

        `on_progress` is called with bytes of all files; what it is told never shrinks.

        Raises:
            DownloadFailed: the hub did not give a file, or the repository is no checkpoint.
            ChecksumMismatch: a file has not the published bytes; it was deleted.
            BrokenFile: a file is not sound, or does not fit the others; deleted as well.
            NotEnoughSpace: before the download, or in the middle of it.
            StoreUnusable: the store cannot be written.
        """
        with self._store.locked(model_id) as folder:
            present = self._store.pulled(model_id, source)
            if present is not None:
                return present[0]
            files = self._files(model_id, source)
            progress = _PullProgress(files, on_progress)
            try:
                self._transfer.require_space(folder, progress.missing_bytes)
                fetched = [self._fetched(files, file, progress) for file in files.in_order()]
                return self._store.install(model_id, files.part, files.record(fetched))
            except BrokenPipeError:
                # The observer's output is gone; the disk has nothing to do with it.
                raise
            except OSError as error:
                missing = _PullProgress(files, on_progress).missing_bytes
                raise self._transfer.disk_failure(error, folder, missing) from error

    def _files(self, model_id: str, source: RemoteSource) -> FileSet:
        remote = self._transfer.patiently(lambda: self._hub.describe(source))
        if isinstance(source, HubSource):
            _require_pinned(remote, source.file)
            if names(source.file):
                return SplitFile(self._store, model_id, source, remote)
            return SingleFile(self._store, model_id, source, remote)
        _require_pinned(remote, "")
        return Checkpoint(self._store, model_id, source, remote)

    def _fetched(self, files: FileSet, file: RemoteFile, progress: _PullProgress) -> RecordedFile:
        path = files.place(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._transfer.complete(path, files.remote, file, progress.of(file))
        sha256 = _require_sum(path, files.remote.source.repo, file)
        files.check(file)
        return RecordedFile(file.path, sha256, file.size_bytes)


def _require_pinned(remote: RemoteFiles, file: str) -> None:
    """Check that a hub that was asked for a commit has answered with that commit."""
    revision = remote.source.revision
    if SHA1.fullmatch(revision) and revision != remote.commit:
        reason = f"pinned to commit {revision}, but the hub answered {remote.commit}"
        raise DownloadFailed(remote.source.repo, file, reason)


def _require_sum(path: Path, repo: str, file: RemoteFile) -> str:
    """SHA-256 of a complete file, which is deleted where its bytes are not the published ones."""
    sha256 = sha256_of(path)
    expected, actual, sum_name = file.sha256, sha256, "SHA-256"
    if expected is None and file.blob_id is not None:
        expected, actual, sum_name = file.blob_id, git_blob_id(path), "git blob id"
    if expected in (None, actual):
        return sha256
    path.unlink()
    where = f"{repo}/{file.path} as downloaded"
    raise ChecksumMismatch(where, str(expected), actual, "deleted; pull again", sum_name=sum_name)


class _PullProgress:
    """The bytes of all files of a pull together; what is there of them counts from the start.

    The sum that the observer is told never shrinks, though a file may begin anew.
    """

    def __init__(self, files: FileSet, observer: Progress) -> None:
        self._held = {file.path: _held_bytes(files.place(file), file) for file in files.files}
        self._sum = sum(self._held.values())
        self._furthest = self._sum
        self._total = sum(file.size_bytes for file in files.files)
        self._observer = observer

    @property
    def missing_bytes(self) -> int:
        """What the disk must still take."""
        return self._total - self._sum

    def of(self, file: RemoteFile) -> FileProgress:
        """The observer of one file."""

        def report(done_bytes: int) -> None:
            self._sum += done_bytes - self._held[file.path]
            self._held[file.path] = done_bytes
            self._furthest = max(self._furthest, self._sum)
            self._observer(self._furthest, self._total)

        return report


def _held_bytes(place: Path, file: RemoteFile) -> int:
    try:
        held = place.stat().st_size
    except OSError:
        return 0
    return held if held <= file.size_bytes else 0
