"""The file of the ledger: one owner, checked before it is touched.

A file that is broken, newer or not ours is refused and left as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
from pathlib import Path

from quorate.errors import SettingsError
from quorate.ledger.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION

_BUSY_SECONDS = 5.0
_OTHER_PATH = "set another path in [ledger]"
_INCREMENTAL = 2


class LedgerLock:
    """Keeps a second server away from a ledger, by flock on a file beside it.

    Two servers on one ledger would each grant the whole budget, since each keeps the windows of
    the budgets in its own memory. The kernel lets go of it when the process dies, however it dies.

    Raises:
        SettingsError: Another process holds it, or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        lock = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(
                f"{lock}: cannot be made: {error.strerror}; {_OTHER_PATH}"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise SettingsError(
                f"{lock}: another server keeps its ledger in {path}; stop that one, or "
                f"{_OTHER_PATH}"
            ) from error

    def release(self) -> None:
        """Lets the next owner in. Once only."""
        os.close(self._descriptor)


def open_for_writing(path: Path, synchronous: str) -> sqlite3.Connection:
    """Opens a ledger, and makes it where there is none. The caller holds its lock.

    Args:
        path: The file; only its owner may read one that is made.
        synchronous: ``FULL`` or ``NORMAL``; see ``Ledger``.

    Raises:
        SettingsError: It is broken, newer, not a ledger, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
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
    except sqlite3.Error as error:
        connection.close()
        raise SettingsError(f"{path}: cannot be written: {error}; {_OTHER_PATH}") from error
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Opens a ledger that is there; nothing can be changed through it.

    Raises:
        SettingsError: There is none, or it is broken, newer or not a ledger.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: there is no ledger; start a server that keeps one there")
    connection = connect_read_only(path)
    try:
        if not _checked(connection, path):
            raise SettingsError(f"{path}: the ledger is empty; no server has written to it yet")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Connects to a file without looking into it; nothing can be changed through it.

    Raises:
        SettingsError: It cannot be read.
    """
    try:
        return _connect(f"{path.as_uri()}?mode=ro")
    except sqlite3.Error as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error


def open_in_memory() -> sqlite3.Connection:
    """A ledger that nobody finds again."""
    connection = _connect("file::memory:")
    create_tables(connection)
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
