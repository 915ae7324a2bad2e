"""What one pull fetches: a single file, or the files of a checkpoint, and what makes them sound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from quorate_registry.checkpoint import read_checkpoint, read_index
from quorate_registry.checkpoint_config import CONFIG_NAME, read_config
from quorate_registry.errors import BrokenFile, ChecksumMismatch, DownloadFailed
from quorate_registry.gguf import read_facts
from quorate_registry.gguf_layout import read_layout
from quorate_registry.hashing import sum_of_list
from quorate_registry.manifest import HubSource, SnapshotSource
from quorate_registry.records import PullRecord, Record, RecordedFile, SnapshotRecord
from quorate_registry.remote_files import RemoteFile, RemoteFiles
from quorate_registry.safetensors_header import read_header
from quorate_registry.snapshot_files import choose, digest, is_weights
from quorate_registry.store import Store, delete, file_name


class FileSet(ABC):
    """Files of one commit that are pulled together.

    Args:
        remote: what the hub says of the repository.
        files: what is fetched.
        part: the partial file or folder that collects it.
        final: what that will be called, for messages.
    """

    def __init__(
        self, remote: RemoteFiles, files: tuple[RemoteFile, ...], part: Path, final: Path
    ) -> None:
        self.remote = remote
        self.files = files
        self.part = part
        self._final = final

    @abstractmethod
    def in_order(self) -> Iterator[RemoteFile]:
        """The files, small ones first, each to be complete before the next is asked for.

        In between, and at the end, it is checked that what has arrived fits together.

        Raises:
            BrokenFile: it does not; all of it was deleted.
        """

    @abstractmethod
    def place(self, file: RemoteFile) -> Path:
        """Where a file is collected."""

    @abstractmethod
    def record(self, fetched: Sequence[RecordedFile]) -> Record:
        """What to remember of a pull that has fetched all files."""

    def check(self, file: RemoteFile) -> None:
        """Check the structure of a file that is complete.

        Raises:
            BrokenFile: it is not sound; it was deleted.
        """
        with self.deleted_if_broken(self.place(file)):
            self._read(file)

    @abstractmethod
    def _read(self, file: RemoteFile) -> None:
        """Read what gives away a file that is not sound."""

    @contextmanager
    def deleted_if_broken(self, path: Path) -> Iterator[None]:
        """Delete `path` where a check fails, and name the file as it would have been called."""
        try:
            yield
        except BrokenFile as error:
            delete(path)
            named = self._final / error.path.relative_to(self.part)
            raise BrokenFile(named, f"{error.reason}; the download was deleted") from error


class SingleFile(FileSet):
    """One file.

    Raises:
        ChecksumMismatch: the hub offers other content than the manifest pins.
        DownloadFailed: it offers another size.
    """

    def __init__(self, store: Store, model_id: str, source: HubSource, remote: RemoteFiles) -> None:
        (file,) = remote.files
        pinned = _pinned(source, remote, file)
        part = store.part(model_id, source, file.sha256 or remote.commit)
        super().__init__(remote, (pinned,), part, store.final(model_id, source))
        self._source = source

    def in_order(self) -> Iterator[RemoteFile]:
        """The file."""
        yield from self.files

    def place(self, file: RemoteFile) -> Path:
        """The partial file itself."""
        return self.part

    def record(self, fetched: Sequence[RecordedFile]) -> PullRecord:
        """The record of the file."""
        (file,) = fetched
        return PullRecord(
            repo=self._source.repo,
            file=self._source.file,
            revision=self._source.revision,
            commit=self.remote.commit,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            pulled_at=_now(),
        )

    def _read(self, file: RemoteFile) -> None:
        if file.path.endswith(".gguf"):
            read_facts(self.part)


class SplitFile(FileSet):
    """The files of a GGUF model that is split, in a folder.

    Raises:
        ChecksumMismatch: the hub offers other content than the manifest pins for the named part.
        DownloadFailed: it offers another size.
    """

    def __init__(self, store: Store, model_id: str, source: HubSource, remote: RemoteFiles) -> None:
        files = tuple(_pinned(source, remote, file) for file in remote.files)
        part = store.part(model_id, source, digest(remote.commit, files))
        super().__init__(remote, files, part, store.split(model_id))
        self._source = source

    def in_order(self) -> Iterator[RemoteFile]:
        """The first part, which says how many there are, and then the others."""
        first, *others = self.files
        yield first
        with self.deleted_if_broken(self.part):
            told = read_layout(self.place(first)).metadata.get("split.count", 1)
            if told != len(self.files):
                reason = f"is the first of {len(self.files)} files by its name, of {told} by itself"
                raise BrokenFile(self.place(first), reason)
        yield from others
        with self.deleted_if_broken(self.part):
            read_facts(self.place(first))

    def place(self, file: RemoteFile) -> Path:
        """Its name, in the partial folder."""
        return self.part / file_name(file.path)

    def record(self, fetched: Sequence[RecordedFile]) -> PullRecord:
        """The record of all the files."""
        parts = tuple(replace(file, path=file_name(file.path)) for file in fetched)
        return PullRecord(
            repo=self._source.repo,
            file=self._source.file,
            revision=self._source.revision,
            commit=self.remote.commit,
            sha256=sum_of_list({part.path: part.sha256 for part in parts}),
            size_bytes=sum(part.size_bytes for part in parts),
            pulled_at=_now(),
            parts=parts,
        )

    def _read(self, file: RemoteFile) -> None:
        read_layout(self.place(file))


class Checkpoint(FileSet):
    """The files of a checkpoint, in a folder.

    Raises:
        DownloadFailed: the repository is no checkpoint, or its file names are a trap.
    """

    def __init__(
        self, store: Store, model_id: str, source: SnapshotSource, remote: RemoteFiles
    ) -> None:
        files = choose(source, remote)
        part = store.part(model_id, source, digest(remote.commit, files))
        super().__init__(remote, files, part, store.final(model_id, source))
        self._source = source

    def in_order(self) -> Iterator[RemoteFile]:
        """What says how to read the weights, the index among it, before the weights."""
        weights = [file for file in self.files if is_weights(file.path)]
        yield from (file for file in self.files if file not in weights)
        with self.deleted_if_broken(self.part):
            self._check_index({file.path for file in weights})
        yield from weights
        with self.deleted_if_broken(self.part):
            read_checkpoint(self.part)

    def place(self, file: RemoteFile) -> Path:
        """Its path inside the repository, in the partial folder."""
        return self.part / file.path

    def record(self, fetched: Sequence[RecordedFile]) -> SnapshotRecord:
        """The record of all the files."""
        return SnapshotRecord(
            repo=self._source.repo,
            revision=self._source.revision,
            commit=self.remote.commit,
            patterns=self._source.files,
            files=tuple(fetched),
            pulled_at=_now(),
        )

    def _read(self, file: RemoteFile) -> None:
        if is_weights(file.path):
            read_header(self.place(file))
        elif file.path == CONFIG_NAME:
            read_config(self.place(file))

    def _check_index(self, weights: set[str]) -> None:
        """Check, before the weights are fetched, that the index names only what will be there."""
        for place in (read_index(self.part) or {}).values():
            if place not in weights:
                raise BrokenFile(self.part, f"lacks the file {place}, which its index names")


def _pinned(source: HubSource, remote: RemoteFiles, file: RemoteFile) -> RemoteFile:
    """The file as the manifest pins it, if it is the one that is named."""
    if file.path != source.file:
        return file
    where = f"{source.repo}/{source.file} at commit {remote.commit[:12]}"
    if None not in (source.sha256, file.sha256) and source.sha256 != file.sha256:
        advice = "the hub offers another file than the manifest pins; nothing was downloaded"
        raise ChecksumMismatch(where, str(source.sha256), str(file.sha256), advice)
    if source.size_bytes not in (None, file.size_bytes):
        reason = f"has {file.size_bytes} bytes, the manifest says {source.size_bytes}"
        raise DownloadFailed(source.repo, source.file, reason)
    return replace(file, sha256=source.sha256 or file.sha256)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
