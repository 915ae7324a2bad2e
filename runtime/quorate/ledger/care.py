"""Looks after the file of a ledger while a server writes to it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from quorate.errors import SettingsError
from quorate.ledger.copying import back_up

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0


class FileCare:
    """Keeps the file whole and where it belongs.

    A while after every few charges the write-ahead log is taken over into the file, so that a plain
    copy of the file alone lacks the last seconds at most.

    A ledger that was removed, moved or replaced under the running server is noticed before the next
    transaction: what is written from then on would be lost with the process. Everything is still
    there in the file that the server holds open, and is written anew: to the old path where nothing
    is there, else beside it, so that a stranger's file is left as it is. The server then goes on
    there. Until that works it is tried again, and charges are kept in the file that is held.

    Args:
        path: Of the ledger.
        reopen: Opens a ledger for writing.

    Attributes:
        path: Where the ledger is now.
        problem: What is wrong with it, in one line; "" while nothing is.
        adrift: Whether the ledger is in the file that the writer holds open, and nowhere else.
        moved: Told where the ledger is, whenever another file is written from then on.
    """

    def __init__(
        self,
        path: Path,
        reopen: Callable[[Path], sqlite3.Connection],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.problem = ""
        self.adrift = False
        self.moved: Callable[[Path], None] = lambda path: None
        self._reopen = reopen
        self._clock = clock
        self._try_at = 0.0
        self._ours = _identities(path)

    def look(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """See ``Care``."""
        file, log = _identities(self.path)
        if (file, log) == self._ours:
            return connection
        if self._clock() < self._try_at:
            return connection
        if file != self._ours[0]:
            return self._rescued(connection)
        if self._ours[1] is None:
            # The log comes up with the first transaction.
            self._ours = file, log
            return connection
        return self._with_new_log(connection)

    def rest(self, connection: sqlite3.Connection) -> None:
        """See ``Care``."""
        # A full disk is told of by the next transaction, and readers are not waited for.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _with_new_log(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Takes over into the file what a log held that somebody removed, and begins another."""
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            fresh = self._reopen(self.path)
        except (SettingsError, sqlite3.Error) as error:
            _log.error("%s-wal: was removed under the running server (%s)", self.path, error)
            self._try_at = self._clock() + _RETRY_SECONDS
            return connection
        connection.close()
        _log.error("%s-wal: was removed under the running server; nothing is lost", self.path)
        self._ours = _identities(self.path)
        self.moved(self.path)
        return fresh

    def _rescued(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        what = "removed" if not self.path.exists() else "replaced"
        try:
            place = self._write_anew(connection)
            fresh = self._reopen(place)
        except (SettingsError, OSError, sqlite3.Error) as error:
            if not self.problem:
                self.problem = f"{self.path}: was {what} under the running server"
                _log.error(
                    "%s; what is charged is held in memory and in the open file until it can be "
                    "written anew (%s)",
                    self.problem,
                    error,
                )
            self.adrift = True
            self._try_at = self._clock() + _RETRY_SECONDS
            return connection
        self.adrift = False
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        _log.error(
            "%s: was %s under the running server; all charges were written anew to %s, where the "
            "ledger is kept from now on; stop the server before you touch its ledger",
            self.path,
            what,
            place,
        )
        self.problem = "" if place == self.path else f"{self.path}: was replaced; {place} is kept"
        self.path = place
        self._ours = _identities(place)
        self.moved(place)
        return fresh

    def _write_anew(self, connection: sqlite3.Connection) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        place = self.path
        if os.path.lexists(place):
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            place = place.with_name(f"{place.name}.kept-{stamp}")
        else:
            # Logs of a file that is gone would be taken for those of the new one.
            for suffix in ("-wal", "-shm"):
                place.with_name(place.name + suffix).unlink(missing_ok=True)
        back_up(connection, place, replace=False)
        return place


def _identities(path: Path) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Which files there are of this name and of its log, by device and number."""
    return _identity(path), _identity(path.with_name(path.name + "-wal"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
