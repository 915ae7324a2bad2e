"""Fetch a checkpoint from the hub into the store: resumed, of one commit, and all or nothing.

Order of one pull: list the files of the commit, choose among them, check the disk for all of them,
bring them one after the other into a folder of their own, each checked when it is complete, check
that they fit each other, give the folder its final name. A crash at any point leaves a partial
folder or a complete one; the next pull takes over what is in it, after another look at every byte.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from quorate_registry.checkpoint import read_checkpoint, read_index
from quorate_registry.checkpoint_config import CONFIG_NAME, read_config
from quorate_registry.disk import Disk
from quorate_registry.download import require_pinned
from quorate_registry.errors import BrokenFile, ChecksumMismatch
from quorate_registry.hashing import git_blob_id, sha256_of
from quorate_registry.hub import Hub, RemoteFile
from quorate_registry.hub_listing import ListedFile
from quorate_registry.manifest import HubSource, SnapshotSource
from quorate_registry.records import RecordedFile, SnapshotRecord
from quorate_registry.safetensors_header import read_header
from quorate_registry.snapshot_files import choose, digest, is_weights
from quorate_registry.store import Store
from quorate_registry.transfer import Progress, Transfer

_DELETED = "the download was deleted"


class SnapshotDownloader:
    """Fetches checkpoints from one hub into one store.

    Args:
        store: where they go.
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

    def fetch(self, model_id: str, source: SnapshotSource, on_progress: Progress) -> Path:
        """Fetch a checkpoint unless it is there already; two processes fetch it once.

        Args:
            model_id: id of the model.
            source: where it comes from.
            on_progress: called with bytes of all files; what it is told never shrinks.

        Raises:
            DownloadFailed: the hub did not give a file, or the repository is no checkpoint.
            ChecksumMismatch: a file has not the published bytes; it was deleted.
            BrokenFile: a file is not sound, or does not fit the others; deleted as well.
            NotEnoughSpace: before the download, or in the middle of it.
            StoreUnusable: the store cannot be written.
        """
        with self._store.locked(model_id) as folder:
            present = self._store.pulled_snapshot(model_id, source)
            if present is not None:
                return present[0]
            listing = self._transfer.patiently(lambda: self._hub.list_files(source))
            require_pinned(source.repo, "", source.revision, listing.commit)
            files = choose(source, listing)
            part = self._store.snapshot_part(model_id, digest(listing.commit, files))
            pull = _Pull(source, listing.commit, part, self._store.checkpoint(model_id))
            progress = _Progress(part, files, on_progress)
            try:
                part.mkdir(exist_ok=True)
                self._transfer.require_space(folder, progress.missing_bytes)
                record = self._complete(pull, files, progress)
                return self._store.install(model_id, part, record)
            except BrokenPipeError:
                # The observer's output is gone; the disk has nothing to do with it.
                raise
            except OSError as error:
                missing = _Progress(part, files, on_progress).missing_bytes
                raise self._transfer.disk_failure(error, folder, missing) from error

    def _complete(
        self, pull: _Pull, files: tuple[ListedFile, ...], progress: _Progress
    ) -> SnapshotRecord:
        weights = [file for file in files if is_weights(file.path)]
        recorded = [self._fetched(pull, f, progress) for f in files if f not in weights]
        pull.check_index({file.path for file in weights})
        recorded += [self._fetched(pull, file, progress) for file in weights]
        pull.check_together()
        return SnapshotRecord(
            repo=pull.source.repo,
            revision=pull.source.revision,
            commit=pull.commit,
            patterns=pull.source.files,
            files=tuple(recorded),
            pulled_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _fetched(self, pull: _Pull, file: ListedFile, progress: _Progress) -> RecordedFile:
        path = pull.part / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        source = HubSource(pull.source.repo, file.path, pull.source.revision)
        remote = RemoteFile(pull.commit, file.sha256, file.size_bytes)
        self._transfer.complete(path, source, remote, progress.of(file.path))
        return pull.checked(file)


class _Pull:
    """One pull: the partial folder, and the checks of what has arrived in it.

    Args:
        source: what is pulled.
        commit: what its revision was resolved to.
        part: the partial folder.
        final: what the folder will be called, for messages.
    """

    def __init__(self, source: SnapshotSource, commit: str, part: Path, final: Path) -> None:
        self.source = source
        self.commit = commit
        self.part = part
        self._final = final

    def checked(self, file: ListedFile) -> RecordedFile:
        """Check a file that is complete; one that fails is deleted.

        Raises:
            ChecksumMismatch: the bytes are not the published ones.
            BrokenFile: its structure is not sound.
        """
        path = self.part / file.path
        sha256 = sha256_of(path)
        if file.sha256 is None:
            self._require_sum(file, file.blob_id, git_blob_id(path), "git blob id")
        else:
            self._require_sum(file, file.sha256, sha256, "SHA-256")
        try:
            if is_weights(file.path):
                read_header(path)
            elif file.path == CONFIG_NAME:
                read_config(path)
        except BrokenFile as error:
            path.unlink()
            raise self._broken(error) from error
        return RecordedFile(file.path, sha256, file.size_bytes)

    def check_index(self, weights: set[str]) -> None:
        """Check, before the weights are fetched, that the index names only what will be there.

        Raises:
            BrokenFile: it names something else; the folder was deleted.
        """
        try:
            for place in (read_index(self.part) or {}).values():
                if place not in weights:
                    reason = f"lacks the file {place}, which its index names"
                    raise BrokenFile(self.part, reason)
        except BrokenFile as error:
            raise self._dropped(error) from error

    def check_together(self) -> None:
        """Check that all the files fit each other.

        Raises:
            BrokenFile: they do not; the folder was deleted.
        """
        try:
            read_checkpoint(self.part)
        except BrokenFile as error:
            raise self._dropped(error) from error

    def _require_sum(self, file: ListedFile, expected: str, actual: str, sum_name: str) -> None:
        if expected == actual:
            return
        (self.part / file.path).unlink()
        where = f"{self.source.repo}/{file.path} as downloaded"
        raise ChecksumMismatch(where, expected, actual, "deleted; pull again", sum_name=sum_name)

    def _dropped(self, error: BrokenFile) -> BrokenFile:
        shutil.rmtree(self.part)
        return self._broken(error)

    def _broken(self, error: BrokenFile) -> BrokenFile:
        path = self._final / error.path.relative_to(self.part)
        return BrokenFile(path, f"{error.reason}; {_DELETED}")


class _Progress:
    """The bytes of all files of a pull together.

    Args:
        part: the partial folder; what is in it counts from the start.
        files: the files.
        observer: told of the sum; it never shrinks, though a file may begin anew.
    """

    def __init__(self, part: Path, files: tuple[ListedFile, ...], observer: Progress) -> None:
        self._held = {file.path: _held_bytes(part, file) for file in files}
        self._sum = sum(self._held.values())
        self._furthest = self._sum
        self._total = sum(file.size_bytes for file in files)
        self._observer = observer

    @property
    def missing_bytes(self) -> int:
        """What the disk must still take."""
        return self._total - self._sum

    def of(self, path: str) -> Progress:
        """The observer of one file."""

        def report(done_bytes: int, _: int) -> None:
            self._sum += done_bytes - self._held[path]
            self._held[path] = done_bytes
            self._furthest = max(self._furthest, self._sum)
            self._observer(self._furthest, self._total)

        return report


def _held_bytes(part: Path, file: ListedFile) -> int:
    try:
        held = (part / file.path).stat().st_size
    except OSError:
        return 0
    return held if held <= file.size_bytes else 0
