"""What becomes of attempts that were under way when a server died."""

from __future__ import annotations

import sqlite3

from quorate.clocks import Reading
from quorate.ledger.rows import balanced, part_rows, reservations, row_of, settle_rows


def recovered(connection: sqlite3.Connection, now: Reading) -> int:
    """Settles what is still reserved as lost, in one transaction; returns how many it were."""
    left = reservations(connection)
    if not left:
        return 0
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for reservation in left:
            charge = balanced(reservation.lost(now.utc))
            settle_rows(connection, row_of(charge), part_rows(charge), now)
    return len(left)
