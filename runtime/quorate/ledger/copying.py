"""Copies of a ledger that are whole, whoever writes to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from quorate.errors import SettingsError

_PAGES_AT_ONCE = 4096


def back_up(connection: sqlite3.Connection, target: Path, *, replace: bool) -> int:
    """Copies a ledger to a file, by SQLite's online backup: all of it, at one moment, or nothing.

    The copy needs no file beside it. It is collected under another name in the same folder, written
    to the disk, and only then called what it is to be called; nobody but its owner may read it.

    Args:
        connection: The ledger, outside a transaction.
        target: The copy.
        replace: Whether a file of that name may be replaced.

    Returns:
        Bytes of the copy.

    Raises:
        SettingsError: It is there already, or cannot be written.
    """
    if not replace and os.path.lexists(target):
        raise SettingsError(f"{target}: is there already; name another file, or give --force")
    if target.exists() and not target.is_file():
        raise SettingsError(f"{target}: is no file, so nothing was written; name another one")
    try:
        with _draft(target) as draft:
            _copy(connection, draft)
            size = draft.stat().st_size
            if replace:
                os.replace(draft, target)
            else:
                # Unlike a rename this refuses a file that has come up meanwhile.
                os.link(draft, target)
        _flush(target.parent)
    except FileExistsError as error:
        raise SettingsError(
            f"{target}: is there already; name another file, or give --force"
        ) from error
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{target}: cannot be written: {reason}; name another place") from error
    return size


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    # A name of its own each time: what a killed process left would stop all that come after it.
    descriptor, name = tempfile.mkstemp(".part", f".{target.name}.", target.parent)
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _copy(connection: sqlite3.Connection, draft: Path) -> None:
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        connection.backup(copy, pages=_PAGES_AT_ONCE, sleep=0.01)
        # The copy says of itself that there is a log beside it, as the ledger says.
        copy.execute("PRAGMA journal_mode = DELETE")
    _flush(draft)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
