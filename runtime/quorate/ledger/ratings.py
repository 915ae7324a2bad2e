"""What callers thought of answers, as the ledger keeps it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

MOST_KEPT = 10_000
"""Ratings that count again after a restart; older ones are taken away daily."""

TABLE = """
CREATE TABLE IF NOT EXISTS ratings (
    key TEXT NOT NULL,
    request_id TEXT NOT NULL,
    vote TEXT NOT NULL,
    models TEXT NOT NULL,
    task TEXT NOT NULL,
    score REAL NOT NULL,
    rated_at REAL NOT NULL,
    PRIMARY KEY (key, request_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ratings_by_time ON ratings (rated_at)"""
"""Statements that make the table where there is none."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What a caller thought of one answer.

    Attributes:
        key: Name of the caller's key, or "" without one.
        request_id: Of the request that was answered.
        vote: Key of the vote that answered, or "" where it says nothing of one.
        models: Members of that vote.
        task: Tag of the request, or "".
        score: From 0, useless, to 1, right.
        rated_at: UTC epoch seconds.
    """

    key: str
    request_id: str
    vote: str
    models: tuple[str, ...]
    task: str
    score: float
    rated_at: float


_COLUMNS = ", ".join(one.name for one in fields(Rating))


def write_rating(connection: sqlite3.Connection, rating: Rating, *, trim: bool) -> None:
    """Writes a rating down, in place of an earlier one of the same answer.

    ``trim`` takes old ones away at once; see ``forget_old_ratings``.
    """
    row = {**asdict(rating), "models": json.dumps(rating.models)}
    connection.execute(
        f"INSERT OR REPLACE INTO ratings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        tuple(row.values()),
    )
    if trim:
        forget_old_ratings(connection)


def read_ratings(connection: sqlite3.Connection) -> Sequence[Rating]:
    """The newest ``MOST_KEPT`` ratings, the oldest of them first."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM ratings ORDER BY rated_at DESC LIMIT ?", (MOST_KEPT,)
    )
    return [
        Rating(key, request_id, vote, tuple(json.loads(models)), *rest)
        for key, request_id, vote, models, *rest in reversed(found.fetchall())
    ]


def forget_old_ratings(connection: sqlite3.Connection) -> None:
    """Takes away all but the newest ``MOST_KEPT``; now and then, since it looks at all of them."""
    connection.execute(
        "DELETE FROM ratings WHERE rated_at < "
        "(SELECT rated_at FROM ratings ORDER BY rated_at DESC LIMIT 1 OFFSET ?)",
        (MOST_KEPT - 1,),
    )
