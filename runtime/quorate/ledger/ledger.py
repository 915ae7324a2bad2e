"""The ledger: what every attempt cost, kept across crashes."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from quorate.clocks import Clocks
from quorate.errors import QuorateError, SettingsError
from quorate.files import refuse_no_file
from quorate.large_texts import utf8
from quorate.ledger.care import FileCare
from quorate.ledger.charges import Charge, Reservation
from quorate.ledger.clock_readings import last_reading, write_reading
from quorate.ledger.compaction import compact, compact_to_newest
from quorate.ledger.ledger_file import (
    LedgerLock,
    moved_lock,
    open_for_writing,
    open_in_memory,
    warn_of_network,
)
from quorate.ledger.moments import is_in_doubt, jump
from quorate.ledger.ratings import Rating, forget_old_ratings, read_ratings, write_rating
from quorate.ledger.reader import LedgerReader
from quorate.ledger.reading_thread import ReadingThread
from quorate.ledger.recovery import recovered
from quorate.ledger.rows import (
    balanced,
    insert_reservation,
    part_rows,
    raise_reservation,
    row_of,
    settle_rows,
)
from quorate.ledger.spending import ChargeFilter, Dimension, SpendEvent, SpendFilter, SpendRow
from quorate.ledger.writer import Writer
from quorate.threads import beside_loop

_Result = TypeVar("_Result")
_DAY_SECONDS = 86_400
_KEPT_IN_MEMORY = 10_000
_HASH_BYTES = 16
_ALL_CHARGES = ChargeFilter()
_ALL_SPENDING = SpendFilter()


class Ledger:
    """Keeps charges and reservations in an SQLite file.

    What was settled survives the death of the process, by ``kill -9`` too, since a commit hands it
    to the operating system. With ``synchronous=FULL``, the default, it survives a power failure as
    well, because every commit waits for the disk; with ``NORMAL`` the last few charges may be lost
    then, but never the ledger. FULL is the default because many charges share a commit: measured
    on a virtual disk, a lone charge took 0.35 ms instead of 0.22, and 64 callers at once settled
    10,500 a second instead of 11,300. A disk that is slow to flush makes callers wait, but never
    the event loop.

    Where the file cannot be written, as on a full disk, settling and reserving raise
    ``Unavailable`` and nothing of them is kept, but the ledger stays usable and the next write is
    tried afresh. Whoever cannot reserve must not spend; whoever cannot settle has answered already
    and logs the charge. A reservation that stays behind becomes a lost charge at the next start,
    so that no dollar is forgotten.

    Args:
        connection: To write through; belongs to the ledger from now on.
        reader: Reads through a connection of its own; None reads through the writer, which is all
            that a database in memory allows.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        reader: ReadingThread | None,
        lock: LedgerLock | None,
        name: str,
        *,
        store_prompts: bool,
        clocks: Clocks,
        care: FileCare | None = None,
    ) -> None:
        self._clocks = clocks
        self._care = care
        self._hash_key: bytes = connection.execute(
            "SELECT value FROM meta WHERE name = 'prompt_hash_key'"
        ).fetchone()[0]
        self._store_prompts = store_prompts
        self._lock = lock
        self._reader = reader
        now = clocks.read()
        self._opened = now
        self._before = last_reading(connection)
        self._noted = now
        self._lost = recovered(connection, now)
        with connection:
            write_reading(connection, now)
        self._writer = Writer(connection, name, care)
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path | None,
        *,
        store_prompts: bool = False,
        synchronous: str = "FULL",
        clock: Callable[[], float] = time.time,
        clocks: Clocks | None = None,
    ) -> Ledger:
        """Opens the ledger of a file and makes it where there is none. Blocks.

        Reservations that a dead process left become charges with the outcome ``lost``.

        Args:
            path: The file; None keeps the ledger in memory, where the newest 10,000 charges are
                kept one by one and older ones as sums of their day.
            store_prompts: Whether the text of prompts is kept.
            synchronous: ``FULL`` or ``NORMAL``, as in SQLite.
            clock: UTC epoch seconds, where it is not this machine's; rows are dated by it alone.
            clocks: All clocks, where they are not this machine's.

        Raises:
            SettingsError: Another process owns it, or it is broken, newer, not a ledger, or
                cannot be written. The file is left as it is.
        """
        clocks = clocks or Clocks.with_utc(clock)
        if path is None:
            name, connection = "the ledger in memory", open_in_memory()
            return cls(connection, None, None, name, store_prompts=store_prompts, clocks=clocks)
        refuse_no_file(path, "set another path in [ledger]")
        # One file has one lock, whatever link it is reached by.
        path = path.resolve()
        warn_of_network(path)
        lock = LedgerLock(path)
        try:
            connection = open_for_writing(path, synchronous)
            reader = ReadingThread(path)
            care = FileCare(path, lambda place: open_for_writing(place, synchronous))
            ledger = cls(
                connection,
                reader,
                lock,
                str(path),
                store_prompts=store_prompts,
                clocks=clocks,
                care=care,
            )
            care.moved = ledger._follow
            return ledger
        except sqlite3.Error as error:
            lock.release()
            raise SettingsError(f"{path}: cannot be written: {error}") from error
        except BaseException:
            lock.release()
            raise

    @property
    def lost(self) -> int:
        """How many reservations were left by a process that died, and became charges at start."""
        return self._lost

    @property
    def stores_prompts(self) -> bool:
        """Whether the text of prompts is kept."""
        return self._store_prompts

    @property
    def path(self) -> Path | None:
        """The file; None for one in memory. It changes where somebody replaced the file."""
        return None if self._care is None else self._care.path

    @property
    def problem(self) -> str:
        """What is wrong with the file under the running server, in one line; "" while nothing."""
        return "" if self._care is None else self._care.problem

    def hash_prompt(self, text: str) -> str:
        """A keyed hash of a prompt, in hexadecimal: equal prompts of one ledger hash equal.

        The key is random and never leaves the ledger, so that nobody can find the prompt behind an
        exported hash by trying likely ones. BLAKE2b with a key, RFC 7693.
        """
        return hashlib.blake2b(utf8(text), key=self._hash_key, digest_size=_HASH_BYTES).hexdigest()

    async def reserve(self, reservation: Reservation) -> None:
        """Writes down what an attempt may cost; returns when that is committed.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed; do not spend.
            Internal: The reservation holds what no ledger can keep.
        """
        row = row_of(reservation)
        await self._writer.run(lambda connection: insert_reservation(connection, row))

    def reserve_soon(
        self, reservation: Reservation, on_error: Callable[[QuorateError], None]
    ) -> None:
        """Writes down that an attempt begins, before anything of it that is written down later.

        That is for attempts which can spend nothing but this machine's own time: nobody waits for
        the disk. ``on_error`` is called with what ``reserve`` would raise.

        Raises:
            Unavailable: The ledger is closed.
        """
        row = row_of(reservation)
        self._writer.run_later(lambda connection: insert_reservation(connection, row), on_error)

    async def raise_reservation(self, attempt_id: str, usd: Decimal) -> None:
        """Writes down what an attempt may cost in all, where that has become more.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed; do not spend more.
        """
        await self._writer.run(lambda connection: raise_reservation(connection, attempt_id, usd))

    async def settle(self, charge: Charge) -> None:
        """Writes a charge down in place of its reservation; returns when that is committed.

        Settling an attempt twice keeps the first charge. A caller that is cancelled meanwhile does
        not take the charge back.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed.
            Internal: The charge holds what no ledger can keep.
        """
        kept = balanced(charge if self._store_prompts else replace(charge, prompt_text=None))
        row, parts = row_of(kept), part_rows(kept)
        in_memory = self._reader is None

        def job(connection: sqlite3.Connection) -> None:
            settle_rows(connection, row, parts, self._clocks.read())
            if in_memory:
                compact_to_newest(connection, _KEPT_IN_MEMORY)

        await self._writer.run(job)

    async def rate(self, rating: Rating) -> None:
        """Writes down what a caller thought of an answer; returns when that is committed.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed.
        """
        in_memory = self._reader is None
        await self._writer.run(lambda connection: write_rating(connection, rating, trim=in_memory))

    async def ratings(self) -> Sequence[Rating]:
        """What callers thought of answers, the oldest first; the newest ``MOST_KEPT``."""
        return await self._writer.run(read_ratings)

    async def list_charges(
        self, chosen: ChargeFilter = _ALL_CHARGES, page_size: int = 50, page_token: str = ""
    ) -> tuple[tuple[Charge, ...], str]:
        """One page of charges and the next page's token; as ``LedgerReader.list_charges``."""
        return await self._read(lambda reader: reader.list_charges(chosen, page_size, page_token))

    async def summarize(
        self,
        group_by: Collection[Dimension] = (),
        since: float | None = None,
        until: float | None = None,
        chosen: SpendFilter = _ALL_SPENDING,
    ) -> tuple[SpendRow, ...]:
        """Sums of what was spent; as ``LedgerReader.summarize``."""
        return await self._read(lambda reader: reader.summarize(group_by, since, until, chosen))

    async def spent_since(self, since: float) -> tuple[SpendEvent, ...]:
        """What was spent since then, in UTC epoch seconds; as ``LedgerReader.spent_since``."""
        return await self._read(lambda reader: reader.spent_since(since, self._clocks.read()))

    async def note_clock(self) -> float:
        """Writes down what the clocks say, where that of UTC was set since the last time.

        Called now and then. It makes the ledger look after its file too, and so notices one
        that was removed while nobody asks for anything.

        Returns:
            By how many seconds it was set; 0 where it was not.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed.
        """
        now = self._clocks.read()
        by = jump(self._noted, now)

        def note(connection: sqlite3.Connection) -> None:
            if by:
                write_reading(connection, now)

        await self._writer.run(note)
        self._noted = now
        return by

    async def compact(self, before: float) -> int:
        """Rolls the charges of whole days that ended before a time up into sums of their day.

        Sums stay what they were; the single charges are gone. Settling goes on in between. Nothing
        is rolled up while it is in doubt what day it is, which is for two days after the clock
        leapt ahead by more than a month while no server ran.

        Args:
            before: UTC epoch seconds; the day it lies in is kept.

        Returns:
            How many charges were rolled up.

        Raises:
            Unavailable: The file cannot be written now, or the ledger is closed.
        """
        running = self._clocks.since_boot() - self._opened.since_boot
        if is_in_doubt(self._before, self._opened, running):
            return 0
        midnight = before // _DAY_SECONDS * _DAY_SECONDS
        await self._writer.run(forget_old_ratings)
        return await compact(self._writer.run, midnight)

    def _follow(self, path: Path) -> None:
        """Reads and locks the ledger at another place; on the thread of the writer."""
        if self._lock is not None:
            self._lock = moved_lock(self._lock, path)
        if self._reader is not None:
            self._reader.follow(path)

    async def close(self) -> None:
        """Writes what is under way, closes the file and lets the next owner in. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._reader is not None:
            await self._reader.close()
        # Last of the connections, so that it merges the write-ahead log into the file.
        await beside_loop(self._writer.close)
        if self._lock is not None:
            self._lock.release()

    async def _read(self, question: Callable[[LedgerReader], _Result]) -> _Result:
        reader = self._reader
        adrift = self._care is not None and self._care.adrift
        if reader is None or self._closed or adrift:
            return await self._writer.run(lambda connection: question(LedgerReader(connection)))
        return await reader.ask(question)
