"""Records of what was pulled, as they are kept beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from quorate_registry.manifest import HubSource, RemoteSource, SnapshotSource
from quorate_registry.repository_paths import is_sound
from quorate_registry.shards import names


@dataclass(frozen=True)
class RecordedFile:
    """One file of a checkpoint, or of a model that is split.

    Attributes:
        path: path inside the repository, and inside the checkpoint's folder; of a part its name.
        sha256: SHA-256, hexadecimal.
        size_bytes: its size.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class PullRecord:
    """A pull that fetched one file.

    Attributes:
        repo: repository on the hub.
        file: path inside the repository.
        revision: what the manifest asked for, a branch perhaps.
        commit: what that was resolved to.
        sha256: SHA-256 of the file, hexadecimal; of a model that is split, of the list that
            ``sha256sum`` prints of its files.
        size_bytes: size of the file, or of all files of a model that is split.
        pulled_at: time in UTC, ISO 8601.
        parts: the files of a model that is split, by name; none of one that is whole.
    """

    repo: str
    file: str
    revision: str
    commit: str
    sha256: str
    size_bytes: int
    pulled_at: str
    parts: tuple[RecordedFile, ...] = ()

    def serves(self, source: RemoteSource) -> bool:
        """Whether the file of this record is the one that `source` names."""
        if not isinstance(source, HubSource):
            return False
        same_file = (self.repo, self.file) == (source.repo, source.file)
        same_revision = source.revision in (self.revision, self.commit)
        wanted = names(source.file)
        if not wanted:
            return same_file and same_revision and source.sha256 in (None, self.sha256)
        # A record of an older release knows one part of a model that is split, and serves nothing.
        sums = {part.path: part.sha256 for part in self.parts}
        own = sums.get(PurePosixPath(source.file).name)
        whole = len(self.parts) == len(wanted) and source.sha256 in (None, own)
        return same_file and same_revision and whole


@dataclass(frozen=True)
class SnapshotRecord:
    """A pull that fetched a checkpoint.

    Attributes:
        repo: repository on the hub.
        revision: what the manifest asked for, a branch perhaps.
        commit: what that was resolved to.
        patterns: the file patterns of the manifest; empty for the usual ones.
        files: what was fetched.
        pulled_at: time in UTC, ISO 8601.
    """

    repo: str
    revision: str
    commit: str
    patterns: tuple[str, ...]
    files: tuple[RecordedFile, ...]
    pulled_at: str

    def serves(self, source: RemoteSource) -> bool:
        """Whether the checkpoint of this record is the one that `source` names."""
        if not isinstance(source, SnapshotSource):
            return False
        same_files = (self.repo, self.patterns) == (source.repo, source.files)
        return same_files and source.revision in (self.revision, self.commit)


Record = PullRecord | SnapshotRecord


def written(record: Record) -> str:
    """The record as text."""
    return json.dumps(asdict(record), indent=2)


def read(text: str) -> Record | None:
    """The record that a text holds, or None where it holds no sound one."""
    try:
        fields = json.loads(text)
        return _snapshot_record(**fields) if "files" in fields else _pull_record(**fields)
    except (ValueError, TypeError, RecursionError):
        return None


def _pull_record(**fields: Any) -> PullRecord | None:
    parts = tuple(RecordedFile(**one) for one in fields.pop("parts", ()))
    if not all(_is_sound_file(one) and "/" not in one.path for one in parts):
        return None
    record = PullRecord(**fields, parts=parts)
    texts = (record.repo, record.file, record.revision, record.commit, record.sha256)
    return record if _are_texts(*texts) and isinstance(record.size_bytes, int) else None


def _snapshot_record(
    files: list[dict[str, Any]], patterns: list[str], **fields: Any
) -> SnapshotRecord | None:
    recorded = tuple(RecordedFile(**one) for one in files)
    record = SnapshotRecord(files=recorded, patterns=tuple(patterns), **fields)
    texts = (record.repo, record.revision, record.commit, *record.patterns)
    sound = _are_texts(*texts) and all(_is_sound_file(one) for one in recorded)
    return record if sound else None


def _is_sound_file(file: RecordedFile) -> bool:
    texts = _are_texts(file.path, file.sha256)
    return texts and is_sound(file.path) and isinstance(file.size_bytes, int)


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
