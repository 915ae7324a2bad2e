"""Old charges become sums of their day."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from quorate.ledger.schema import SUMS

CHUNK = 500
"""Charges rolled up in one transaction: few enough that nobody's settling waits long."""

# Pages given back in one transaction, for the same reason.
_PAGES = 1000
_DAY = ("day", "key", "profile", "task", "plan_kind")


async def compact(
    run: Callable[[Callable[[sqlite3.Connection], int]], Awaitable[int]], before: float
) -> int:
    """Rolls up all charges that ended before a time, chunk by chunk; returns how many.

    ``run`` has a job done where the ledger is written.
    """
    total, count = 0, CHUNK
    while count == CHUNK:
        count = await run(lambda connection: compact_ended_before(connection, before))
        total += count
    while total and await run(return_free_pages):
        continue
    return total


def compact_ended_before(connection: sqlite3.Connection, before: float) -> int:
    """Rolls up charges that ended before a time in UTC epoch seconds, a chunk of the oldest.

    Returns how many; fewer than a chunk means that none is left.
    """
    rows = connection.execute(
        "SELECT id FROM charges WHERE finished_at < ? ORDER BY finished_at LIMIT ?", (before, CHUNK)
    )
    return _roll_up(connection, [row[0] for row in rows])


def compact_to_newest(connection: sqlite3.Connection, count: int) -> int:
    """Rolls up a chunk of the charges settled before the newest so many; returns how many."""
    rows = connection.execute(
        "SELECT id FROM charges WHERE id <= (SELECT MAX(id) FROM charges) - ? ORDER BY id LIMIT ?",
        (count, CHUNK),
    )
    return _roll_up(connection, [row[0] for row in rows])


def return_free_pages(connection: sqlite3.Connection) -> int:
    """Gives some pages of deleted rows back to the file system; returns how many are still free."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(min(free, _PAGES)):
        # Page by page: SQLite frees one for each step, and Python takes a single step, since the
        # statement has no columns.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return max(0, free - _PAGES)


def _roll_up(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    if not ids:
        return 0
    places = ", ".join("?" * len(ids))
    connection.execute(_adding("daily", "spending", _DAY, places), ids)
    connection.execute(_adding("daily_models", "model_spending", (*_DAY, "model"), places), ids)
    connection.execute(f"DELETE FROM model_charges WHERE charge_id IN ({places})", ids)
    connection.execute(f"DELETE FROM charges WHERE id IN ({places})", ids)
    return len(ids)


def _adding(table: str, view: str, group: Sequence[str], places: str) -> str:
    sums = ", ".join(f"SUM({name})" for name in SUMS)
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    return f"""
        INSERT INTO {table} ({", ".join([*group, *SUMS, "tier_rank"])})
        SELECT {", ".join(group)}, {sums}, MAX(tier_rank) FROM {view}
        WHERE charge_id IN ({places}) GROUP BY {", ".join(group)}
        ON CONFLICT DO UPDATE SET {added}, tier_rank = MAX(tier_rank, excluded.tier_rank)"""
