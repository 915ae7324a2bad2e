"""The one thread that writes the ledger, many changes to a transaction."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from quorate.errors import Internal, QuorateError, Unavailable

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_MAX_PER_TRANSACTION = 256
_IDLE_SECONDS = 1.0
_BUSY_SECONDS = 5.0


class Care(Protocol):
    """What is done for the file between transactions, on the writer's thread. Raises nothing."""

    def look(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Looks after the file before a transaction; returns the connection to go on with."""
        ...

    def rest(self, connection: sqlite3.Connection) -> None:
        """Called a second after the last of some transactions, and every few under load."""
        ...


class _NoCare:
    """Of a database that has no file."""

    def look(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        return connection

    def rest(self, connection: sqlite3.Connection) -> None:
        pass


@dataclass(slots=True)
class _Pending:
    """A job on its way, and who waits for it."""

    job: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any] | None
    on_error: Callable[[QuorateError], None] | None = None
    result: Any = None
    error: QuorateError | None = None

    @property
    def has_news(self) -> bool:
        """Whether anybody is to be told how it went."""
        return self.future is not None or self.error is not None

    def resolve(self) -> None:
        """Tells who waits, on their own loop; one who was cancelled meanwhile is gone."""
        if self.future is None:
            if self.on_error is not None and self.error is not None:
                self.on_error(self.error)
        elif self.future.done():
            return
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Runs jobs on a connection in the order they come, with group commit.

    All jobs that come in while one transaction is being committed share the next one, so that the
    more of them there are, the less each costs. None waits for company: a lone job is committed at
    once.

    Args:
        connection: Belongs to the writer from now on; in autocommit mode, so that nothing but the
            writer begins transactions.
        name: What is written, for messages.
        care: Looks after the file in between.
    """

    def __init__(self, connection: sqlite3.Connection, name: str, care: Care | None = None) -> None:
        self._connection = connection
        self._name = name
        self._care = care or _NoCare()
        self._rested_at: float | None = None
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._closing = False
        self._queue_lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="ledger-writer", daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Runs a job within a transaction; returns when that is committed.

        Cancelling the caller does not take the job back: it is committed all the same.

        Raises:
            Unavailable: The file cannot be written now, or the writer is closed. Nothing of the
                job is kept.
            Internal: The job itself is at fault.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        self._put(_Pending(job, loop, future))
        return await future

    def run_later(
        self, job: Callable[[sqlite3.Connection], Any], on_error: Callable[[QuorateError], None]
    ) -> None:
        """Runs a job before all that are given later, and waits for nothing.

        ``on_error`` is called on the event loop with what ``run`` would raise of the job.

        Raises:
            Unavailable: The writer is closed.
        """
        self._put(_Pending(job, asyncio.get_running_loop(), None, on_error))

    def _put(self, pending: _Pending) -> None:
        with self._queue_lock:
            if self._closing:
                raise Unavailable(f"{self._name}: is closed")
            self._queue.put(pending)

    def close(self) -> None:
        """Finishes all jobs that were given, and closes the connection. Blocks; idempotent."""
        with self._queue_lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            self._look()
            self._settle(batch)
            _notify(batch)
        self._connection.close()

    def _first(self) -> _Pending | None:
        """The next job; the file is cared for while none comes, and now and then while many do."""
        since = None if self._rested_at is None else time.monotonic() - self._rested_at
        try:
            if since is not None and since < _BUSY_SECONDS:
                return self._queue.get(timeout=_IDLE_SECONDS)
            if since is None:
                return self._queue.get()
        except Empty:
            pass
        self._rest()
        return self._queue.get()

    def _look(self) -> None:
        try:
            self._connection = self._care.look(self._connection)
        except Exception as error:  # Whatever it is, somebody waits for this thread.
            _log.error("%s: its file cannot be looked after: %r", self._name, error)

    def _rest(self) -> None:
        self._care.rest(self._connection)
        self._rested_at = None

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        """What waits now, at least one job, and whether there may be more."""
        pending = self._first()
        if self._rested_at is None:
            self._rested_at = time.monotonic()
        batch: list[_Pending] = []
        while pending is not None:
            batch.append(pending)
            if len(batch) == _MAX_PER_TRANSACTION:
                return batch, True
            try:
                pending = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: Sequence[_Pending]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # Whatever it is, somebody waits for it.
            if len(batch) == 1:
                batch[0].error = self._translated(error)
                return
            # One job must not cost the others theirs: each gets a transaction of its own.
            for pending in batch:
                self._settle([pending])

    def _commit(self, batch: Sequence[_Pending]) -> None:
        if not batch:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for pending in batch:
                pending.result = pending.job(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _translated(self, error: Exception) -> QuorateError:
        if isinstance(error, QuorateError):
            return error
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.IntegrityError | sqlite3.ProgrammingError
        ):
            failure: QuorateError = Unavailable(
                f"{self._name}: cannot be written: {error}; free some space on its disk, or make "
                "it writable"
            )
        else:
            failure = Internal(f"{self._name}: a row cannot be kept: {error}")
        failure.__cause__ = error
        return failure


def _notify(batch: Sequence[_Pending]) -> None:
    """Wakes each event loop once for all of its jobs."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Pending]] = {}
    for pending in batch:
        if pending.has_news:
            by_loop.setdefault(pending.loop, []).append(pending)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting)
        except RuntimeError:
            # The loop was closed without waiting: what it gave is written, and nobody is there.
            continue


def _resolve(waiting: Sequence[_Pending]) -> None:
    for pending in waiting:
        pending.resolve()
