"""Where pulled files live, and the records of what was pulled.

::

    $QUORATE_HOME/
    ├── models/<id>/<file>                 a complete, checked file, or nothing
    ├── models/<id>/.<file>.<digest>.part  the start of one, kept so that a pull can resume
    ├── models/<id>/split/                 the files of a GGUF model in several, or nothing
    ├── models/<id>/checkpoint/            the files of a checkpoint, all of them, or nothing
    ├── models/<id>/.checkpoint.<digest>.part/  the start of that
    ├── models/<id>/pulled.json            repository, commit, SHA-256, size, date
    ├── locks/<id>.lock                    held while one process changes models/<id>
    └── models.d/*.toml                    the user's own manifests
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from quorate_registry import records
from quorate_registry.errors import NoHome, StoreUnusable
from quorate_registry.manifest import HubSource, RemoteSource
from quorate_registry.records import PullRecord, Record
from quorate_registry.shards import names

RECORD_NAME = "pulled.json"
CHECKPOINT_NAME = "checkpoint"
SPLIT_NAME = "split"


def default_home() -> Path:
    """``$QUORATE_HOME``, else ``quorate`` in the platform's folder for user data.

    Raises:
        NoHome: there is no such folder, or it would be one that nobody would look for.
    """
    chosen = os.environ.get("QUORATE_HOME")
    if chosen:
        return _expanded("QUORATE_HOME", chosen).absolute()
    data = os.environ.get("XDG_DATA_HOME")
    if data:
        if not Path(data).is_absolute():
            # It would be another folder wherever a command is run.
            raise NoHome(f"XDG_DATA_HOME is {data!r}, which is no absolute path")
        return Path(data) / "quorate"
    home = _expanded("HOME", "~")
    if not home.is_absolute() or home == Path("/"):
        raise NoHome(f"HOME is {str(home)!r}, which is nobody's folder")
    return home / ".local" / "share" / "quorate"


def owner_note(home: Path) -> str:
    """What is odd about whose folder this is, in one line for people; "" where nothing is.

    A command run as root with the environment of somebody else would leave files in their folder
    that they cannot touch.
    """
    existing = next((place for place in (home, *home.parents) if place.exists()), None)
    if existing is None or os.geteuid() != 0:
        return ""
    owner = existing.stat().st_uid
    if owner == 0:
        return ""
    return (
        f"{home}: files will belong to root in a folder of user {owner}; run as that user, or set "
        "QUORATE_HOME"
    )


def _expanded(variable: str, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        problem = "there is no home folder: HOME is not set, and the system knows none"
        if variable != "HOME":
            problem = f"{variable} is {path!r}, and there is no such user"
        raise NoHome(problem) from error


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

    def checkpoint(self, model_id: str) -> Path:
        """Folder of a model's checkpoint; may be absent."""
        return self.folder(model_id) / CHECKPOINT_NAME

    def record(self, model_id: str) -> Record | None:
        """The record of a model, or None. An unreadable one counts as none: a pull renews it."""
        file = self.folder(model_id) / RECORD_NAME
        try:
            text = file.read_text("utf-8") if file.is_file() else ""
        except (OSError, UnicodeDecodeError):
            return None
        return records.read(text)

    def pulled(self, model_id: str, source: RemoteSource) -> tuple[Path, Record] | None:
        """File or folder, and record, of a complete pull of `source`, or None."""
        record = self.record(model_id)
        if record is None or not record.serves(source):
            return None
        path = self.final(model_id, source)
        if isinstance(source, HubSource):
            complete = path.is_file() and not self._missing(model_id, record)
        else:
            complete = path.is_dir()
        return (path, record) if complete else None

    def missing_parts(self, model_id: str) -> tuple[Path, ...]:
        """Files of a pulled model that is split which are not there any more."""
        return self._missing(model_id, self.record(model_id))

    def _missing(self, model_id: str, record: Record | None) -> tuple[Path, ...]:
        parts = record.parts if isinstance(record, PullRecord) else ()
        paths = (self.split(model_id) / part.path for part in parts)
        return tuple(path for path in paths if not path.is_file())

    def split(self, model_id: str) -> Path:
        """Folder of the files of a model that is split; may be absent."""
        return self.folder(model_id) / SPLIT_NAME

    def final(self, model_id: str, source: RemoteSource) -> Path:
        """Where a complete pull of `source` is kept: a file, or the folder of a checkpoint.

        Of a model that is split it is the first file.
        """
        place = self.folder(model_id) / _name(source)
        if isinstance(source, HubSource) and (parts := names(source.file)):
            return place / file_name(parts[0])
        return place

    def part(self, model_id: str, source: RemoteSource, digest: str) -> Path:
        """Where the unfinished download of the content named by `digest` is kept, of this kind."""
        return self.folder(model_id) / f".{_name(source)}.{digest[:16]}.part"

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
            descriptor = _held(lock)
        except OSError as error:
            raise StoreUnusable(self.home, error.strerror or str(error)) from error
        try:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnusable(folder, error.strerror or str(error)) from error
            yield folder
        finally:
            # While it is held, so that whoever waits for it finds out and makes another.
            with suppress(OSError):
                lock.unlink()
            os.close(descriptor)

    def install(self, model_id: str, part: Path, record: Record) -> Path:
        """Give a finished download its final name. Call with the lock held.

        The record is written first: a crash between the two leaves a finished part, which the
        next pull picks up, and never a file without its record.
        """
        folder = self.folder(model_id)
        final = self.checkpoint(model_id)
        if isinstance(record, PullRecord) and record.parts:
            final = self.split(model_id)
        elif isinstance(record, PullRecord):
            final = folder / file_name(record.file)
            final.unlink(missing_ok=True)
        for old in self._installed(model_id):
            delete(old)
        draft = folder / f".{RECORD_NAME}.new"
        with draft.open("w", encoding="utf-8") as file:
            file.write(records.written(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, folder / RECORD_NAME)
        _sync_folders(part)
        os.replace(part, final)
        for stale in folder.glob(".*.part"):
            delete(stale)
        _sync_folder(folder)
        parts = record.parts if isinstance(record, PullRecord) else ()
        return final / parts[0].path if parts else final

    def remove(self, model_id: str) -> int:
        """Delete what pulls of this model have written, and nothing else.

        Returns:
            Bytes freed; 0 where there was nothing.

        Raises:
            StoreUnusable: something cannot be deleted.
        """
        if not self.folder(model_id).is_dir():
            return 0
        with self.locked(model_id) as folder:
            owned = [
                *folder.glob(".*.part"),
                folder / f".{RECORD_NAME}.new",
                *self._installed(model_id),
                folder / RECORD_NAME,
            ]
            try:
                freed = sum(delete(path) for path in owned)
                if not any(folder.iterdir()):
                    folder.rmdir()
            except OSError as error:
                raise StoreUnusable(folder, error.strerror or str(error)) from error
            return freed

    def _installed(self, model_id: str) -> list[Path]:
        """What an earlier pull has put under its final name."""
        folders = (self.checkpoint(model_id), self.split(model_id))
        found = [folder for folder in folders if folder.is_dir()]
        record = self.record(model_id)
        if isinstance(record, PullRecord):
            file = self.folder(model_id) / file_name(record.file)
            found += [file] if file.is_file() else []
        return found


def _held(lock: Path) -> int:
    """Descriptor of a lock's file once it is held; waits. Its holder takes the file away.

    The kernel releases the lock when its holder dies, so that no file that is left is ever stale.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(lock, flags, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _name(source: RemoteSource) -> str:
    if not isinstance(source, HubSource):
        return CHECKPOINT_NAME
    return SPLIT_NAME if names(source.file) else file_name(source.file)


def file_name(file: str) -> str:
    """Last part of a path inside a repository."""
    return PurePosixPath(file).name


def delete(path: Path) -> int:
    """Delete a file, or a folder with all that is in it; count the bytes of its files."""
    if path.is_dir() and not path.is_symlink():
        inside = [Path(place) / name for place, _, names in os.walk(path) for name in names]
        size = sum(file.lstat().st_size for file in inside)
        shutil.rmtree(path)
        return size
    if not path.is_file() and not path.is_symlink():
        return 0
    size = path.lstat().st_size
    path.unlink()
    return size


def _sync_folders(part: Path) -> None:
    """Write the names of the files in a folder to the disk; their content is there already."""
    for place, _, _ in os.walk(part):
        _sync_folder(Path(place))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
