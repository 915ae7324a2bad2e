"""What the clocks said at starts and after jumps, written into the ledger between the charges.

Appended only, a few rows for each start; ``moments`` says what they are for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from quorate.clocks import Reading
from quorate.ledger.moments import Moments

_OF_CHARGES = "COALESCE(settled_at, finished_at), settled_boot, settled_since_boot"


def write_reading(connection: sqlite3.Connection, reading: Reading) -> None:
    """Notes that the clocks said this after the charges that are there."""
    connection.execute(
        "INSERT INTO clock_readings (after_charge, utc, boot, since_boot) "
        "SELECT COALESCE(MAX(id), 0), ?, ?, ? FROM charges",
        (reading.utc, reading.boot, reading.since_boot),
    )


def last_reading(connection: sqlite3.Connection) -> Reading | None:
    """The last one that was written, be it with a charge; None in an empty ledger."""
    row = connection.execute(
        "SELECT utc, boot, since_boot, after_charge FROM clock_readings ORDER BY id DESC LIMIT 1"
    ).fetchone()
    charge = connection.execute(
        f"SELECT id, {_OF_CHARGES} FROM charges ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if charge is not None and (row is None or charge[0] > row[3]):
        return Reading(*charge[1:])
    return None if row is None else Reading(*row[:3])


def latest_first(
    connection: sqlite3.Connection, columns: str, now: Reading, since: float
) -> Iterator[tuple[float, tuple[Any, ...]]]:
    """Charges that ended since then, the latest settled first, and when each did end.

    Reads no more than it must: what was settled before then ended before.

    Args:
        connection: Of the ledger.
        columns: Names of columns, separated by commas.
        now: What the clocks say at present.
        since: Seconds of UTC by the present clock.
    """
    moments = Moments(now)
    noted = connection.execute(
        "SELECT after_charge, utc, boot, since_boot FROM clock_readings ORDER BY id DESC"
    )
    note = noted.fetchone()
    charges = connection.execute(
        f"SELECT id, finished_at, {_OF_CHARGES}, {columns} FROM charges ORDER BY id DESC"
    )
    for number, finished_at, utc, boot, since_boot, *values in charges:
        while note is not None and note[0] >= number:
            moments.of(Reading(*note[1:]))
            note = noted.fetchone()
        settled = Reading(utc, boot, since_boot)
        settled_at = moments.of(settled)
        if settled_at < since - 1.0:
            return
        # It ended a moment before it was settled, by the clock of that moment.
        at = settled_at - max(0.0, settled.utc - finished_at)
        if finished_at <= settled.utc and settled_at == settled.utc:
            at = finished_at
        if at >= since:
            yield at, tuple(values)
