"""The file of the ledger: one owner, checked before it is touched.

A file that is broken, newer or not ours is refused and left as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
from pathlib import Path

from quorate.errors import SettingsError
from quorate.files import network_place, refuse_no_file
from quorate.ledger.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, upgrade

_BUSY_SECONDS = 5.0
_OTHER_PATH = "set another path in [ledger]"
_INCREMENTAL = 2

_log = logging.getLogger(__name__)


class LedgerLock:
    """Keeps a second server away from a ledger, by flock on a file beside it.

    Two servers on one ledger would each grant the whole budget, since each keeps the windows of
    the budgets in its own memory. The kernel lets go of it when the process dies, however it dies.

    Raises:
        SettingsError: Another process holds it, or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A last owner takes the file away with its lock: what was opened just before is no lock.
        while True:
            self._descriptor = self._locked(path)
            if self.holds(path):
                return
            os.close(self._descriptor)

    @staticmethod
    def _locked(path: Path) -> int:
        lock = _lock_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
            )
        except OSError as error:
            problem = "its folder is none" if isinstance(error, FileExistsError) else error.strerror
            raise SettingsError(f"{lock}: cannot be made: {problem}; {_OTHER_PATH}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise SettingsError(
                f"{lock}: another server keeps its ledger in {path}; stop that one, or "
                f"{_OTHER_PATH}"
            ) from error
        return descriptor

    def holds(self, path: Path) -> bool:
        """Whether it still keeps others from the ledger of this path."""
        try:
            there, ours = os.stat(_lock_of(path)), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Lets the next owner in, and takes the file away. Once only."""
        if self.holds(self._path):
            with contextlib.suppress(OSError):
                _lock_of(self._path).unlink()
        os.close(self._descriptor)


def moved_lock(held: LedgerLock, path: Path) -> LedgerLock:
    """The lock of a ledger that may be in another place now; the one held where there is none."""
    if held.holds(path):
        return held
    try:
        lock = LedgerLock(path)
    except SettingsError as error:
        _log.error("%s", error.message)
        return held
    held.release()
    return lock


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def open_for_writing(path: Path, synchronous: str) -> sqlite3.Connection:
    """Opens a ledger, and makes it where there is none. The caller holds its lock.

    Args:
        path: The file; only its owner may read one that is made.
        synchronous: ``FULL`` or ``NORMAL``; see ``Ledger``.

    Raises:
        SettingsError: It is broken, newer, not a ledger, or cannot be written.
    """
    refuse_no_file(path, _OTHER_PATH)
    try:
        # Nobody may be waited for, should it have become a pipe meanwhile.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written: {error.strerror}; {_OTHER_PATH}"
        ) from error
    os.close(descriptor)
    with contextlib.closing(connect_read_only(path)) as reader:
        version = _checked(reader, path)
    connection = _connect(f"{path.as_uri()}?mode=rw")
    try:
        if not version:
            connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        if not version:
            create_tables(connection)
        upgrade(connection)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise SettingsError(f"{path}: cannot be written: {error}; {_OTHER_PATH}") from error
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Opens a ledger that is there; nothing can be changed through it.

    Raises:
        SettingsError: There is none, or it is broken, newer or not a ledger.
    """
    refuse_no_file(path, "name the ledger's file")
    if not path.exists():
        raise SettingsError(f"{path}: there is no ledger; start a server that keeps one there")
    connection = _connect_to_read(path)
    try:
        if not _checked(connection, path):
            raise SettingsError(f"{path}: the ledger is empty; no server has written to it yet")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Connects to a ledger, also to one on a place where nothing can be written.

    SQLite reads a ledger with its log only where it may make a file beside them. Elsewhere the file
    is read as it is where it has no log, and a copy of both where it has.
    """
    if _is_writable(path.parent):
        return connect_read_only(path)
    log = path.with_name(path.name + "-wal")
    try:
        if not log.exists() or not log.stat().st_size:
            return _connect(f"{path.as_uri()}?mode=ro&immutable=1")
        with tempfile.TemporaryDirectory(prefix="quorate-ledger-") as folder:
            for file in (path, log):
                shutil.copyfile(file, Path(folder) / file.name)
            copy = _connect((Path(folder) / path.name).as_uri())
            # From now on it needs no name: what is read is the file that is open.
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            copy.execute("PRAGMA query_only = 1")
            return copy
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{path}: cannot be read: {reason}") from error


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Connects to a file without looking into it; nothing can be changed through it.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        return _connect(f"{path.as_uri()}?mode=ro")
    except sqlite3.Error as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error


def warn_of_network(path: Path) -> None:
    """Says in the log where the file is on a network file system."""
    if network := network_place(path):
        _log.warning(
            "%s: is on a network file system (%s), whose locks and whose log cannot be relied "
            "on; set a path of this machine in [ledger]",
            path,
            network,
        )


def open_in_memory() -> sqlite3.Connection:
    """A ledger that nobody finds again."""
    connection = _connect("file::memory:")
    create_tables(connection)
    upgrade(connection)
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Makes an empty ledger, all of it or nothing."""
    key = secrets.token_bytes(32).hex()
    connection.executescript(
        f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION};"
        f"INSERT INTO meta VALUES ('prompt_hash_key', X'{key}'); COMMIT;"
    )


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
    )


def _checked(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a sound ledger, or 0 of an empty file."""
    try:
        [(application,)] = connection.execute("PRAGMA application_id")
        [(version,)] = connection.execute("PRAGMA user_version")
        [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master")
        # Whether pages and indexes hang together; reads the file once.
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise SettingsError(f"{path}: cannot be read: {error}; {_OTHER_PATH}") from error
    except sqlite3.DatabaseError as error:
        raise _broken(path, str(error)) from error
    if not tables:
        return 0
    if application != APPLICATION_ID:
        raise SettingsError(f"{path}: is another program's database; {_OTHER_PATH}")
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"{path}: was written by a newer release (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); install that release, or {_OTHER_PATH}"
        )
    if problem != "ok":
        raise _broken(path, " ".join(str(problem).split()))
    return int(version)


def _broken(path: Path, problem: str) -> SettingsError:
    return SettingsError(
        f"{path}: is damaged or no ledger ({problem}); it was left as it is: restore a copy, save "
        f"what `sqlite3 {path.name} .recover` finds, or {_OTHER_PATH}"
    )
