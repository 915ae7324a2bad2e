"""Where pulled files live, and the records of what was pulled.

::

    $QUORATE_HOME/
    ├── models/<id>/<file>                 a complete, checked file, or nothing
    ├── models/<id>/.<file>.<digest>.part  the start of one, kept so that a pull can resume
    ├── models/<id>/pulled.json            repository, commit, SHA-256, size, date
    ├── locks/<id>.lock                    held while one process changes models/<id>
    └── models.d/*.toml                    the user's own manifests
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from quorate_registry.errors import StoreUnusable
from quorate_registry.manifest import HubSource

RECORD_NAME = "pulled.json"


@dataclass(frozen=True)
class PullRecord:
    """What a pull fetched.

    Attributes:
        repo: repository on the hub.
        file: path inside the repository.
        revision: what the manifest asked for, a branch perhaps.
        commit: what that was resolved to.
        sha256: SHA-256 of the file, hexadecimal.
        size_bytes: size of the file.
        pulled_at: time in UTC, ISO 8601.
    """

    repo: str
    file: str
    revision: str
    commit: str
    sha256: str
    size_bytes: int
    pulled_at: str

    def serves(self, source: HubSource) -> bool:
        """Whether the file of this record is the one that `source` names."""
        same_file = (self.repo, self.file) == (source.repo, source.file)
        same_revision = source.revision in (self.revision, self.commit)
        same_sum = source.sha256 in (None, self.sha256)
        return same_file and same_revision and same_sum


def default_home() -> Path:
    """``$QUORATE_HOME``, else ``quorate`` in the platform's folder for user data."""
    chosen = os.environ.get("QUORATE_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "quorate"


class Store:
    """The files under one home folder. It creates folders only when something is pulled."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def manifests_folder(self) -> Path:
        """Folder of the user's own manifests; may be absent."""
        return self.home / "models.d"

    def folder(self, model_id: str) -> Path:
        """Folder of one model; may be absent."""
        return self.home / "models" / model_id

    def record(self, model_id: str) -> PullRecord | None:
        """The record of a model, or None. An unreadable one counts as none: a pull renews it."""
        try:
            fields = json.loads((self.folder(model_id) / RECORD_NAME).read_text("utf-8"))
            record = PullRecord(**fields)
        except (OSError, ValueError, TypeError):
            return None
        texts = (record.repo, record.file, record.revision, record.commit, record.sha256)
        sound = isinstance(record.size_bytes, int) and all(isinstance(text, str) for text in texts)
        return record if sound else None

    def pulled(self, model_id: str, source: HubSource) -> tuple[Path, PullRecord] | None:
        """File and record of a complete pull of `source`, or None."""
        record = self.record(model_id)
        if record is None or not record.serves(source):
            return None
        path = self.folder(model_id) / file_name(source.file)
        return (path, record) if path.is_file() else None

    def part(self, model_id: str, source: HubSource, digest: str) -> Path:
        """Where the unfinished download of the content named by `digest` is kept."""
        return self.folder(model_id) / f".{file_name(source.file)}.{digest[:16]}.part"

    @contextmanager
    def locked(self, model_id: str) -> Iterator[Path]:
        """Hold the folder of one model against other processes; wait until it is free.

        Yields:
            The folder, created if need be.

        Raises:
            StoreUnusable: the home folder cannot be written.
        """
        lock = self.home / "locks" / f"{model_id}.lock"
        folder = self.folder(model_id)
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreUnusable(self.home, error.strerror or str(error)) from error
        try:
            # The kernel releases the lock when its holder dies, so no lock is ever stale.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnusable(folder, error.strerror or str(error)) from error
            yield folder
        finally:
            os.close(descriptor)

    def install(self, model_id: str, part: Path, record: PullRecord) -> Path:
        """Give a finished download its final name. Call with the lock held.

        The record is written first: a crash between the two leaves a finished part, which the
        next pull picks up, and never a file without its record.
        """
        folder = self.folder(model_id)
        final = folder / file_name(record.file)
        final.unlink(missing_ok=True)
        draft = folder / f".{RECORD_NAME}.new"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, folder / RECORD_NAME)
        os.replace(part, final)
        for stale in folder.glob(".*.part"):
            stale.unlink()
        _sync_folder(folder)
        return final

    def remove(self, model_id: str) -> int:
        """Delete what pulls of this model have written, and nothing else.

        Returns:
            Bytes freed; 0 where there was nothing.
        """
        if not self.folder(model_id).is_dir():
            return 0
        with self.locked(model_id) as folder:
            record = self.record(model_id)
            owned = [*folder.glob(".*.part"), folder / f".{RECORD_NAME}.new", folder / RECORD_NAME]
            if record is not None:
                owned.append(folder / file_name(record.file))
            freed = 0
            for path in owned:
                if path.is_file():
                    freed += path.stat().st_size
                    path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
            return freed


def file_name(file: str) -> str:
    """Last part of a path inside a repository."""
    return PurePosixPath(file).name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
