"""The tables of the ledger."""

from __future__ import annotations

import sqlite3

from quorate.ledger.ratings import TABLE as RATINGS

APPLICATION_ID = 0x51524C47
"""Marks an SQLite file as a ledger ("QRLG"), so that no other program's file is written to."""

SCHEMA_VERSION = 1
"""Kept in ``user_version``; a file with a greater one is refused."""

# Text, integer and real only: STRICT and RETURNING are younger than the SQLite of some
# distributions that are still supported. Microjoules and nano-dollars are integers because only
# integers add up the same in any order.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE reservations (
    attempt_id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    plan_kind TEXT NOT NULL,
    model TEXT NOT NULL,
    key TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    plan TEXT NOT NULL,
    profile TEXT NOT NULL,
    task TEXT NOT NULL,
    candidates TEXT NOT NULL,
    clause TEXT NOT NULL,
    price_version TEXT NOT NULL,
    reserved_nano_usd INTEGER,
    prompt_hash TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE charges (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    finished_at REAL NOT NULL,
    plan_kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    key TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    plan TEXT NOT NULL,
    profile TEXT NOT NULL,
    task TEXT NOT NULL,
    candidates TEXT NOT NULL,
    clause TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_prompt_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    time_to_first_token_ms REAL,
    time_per_token_ms REAL,
    duration_ms REAL,
    microjoules INTEGER,
    tier TEXT NOT NULL,
    idle_microjoules INTEGER,
    price_version TEXT NOT NULL,
    reserved_nano_usd INTEGER,
    nano_usd INTEGER,
    prompt_hash TEXT NOT NULL,
    prompt_text TEXT
);
CREATE INDEX charges_by_end ON charges (finished_at);

CREATE TABLE model_charges (
    charge_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_prompt_tokens INTEGER NOT NULL,
    generated_tokens INTEGER NOT NULL,
    busy_ms REAL NOT NULL,
    microjoules INTEGER,
    tier TEXT NOT NULL,
    nano_usd INTEGER,
    PRIMARY KEY (charge_id, position)
) WITHOUT ROWID;
"""

SUMS = (
    "attempts",
    "prompt_tokens",
    "cached_prompt_tokens",
    "generated_tokens",
    "microjoules",
    "attempts_with_joules",
    "nano_usd",
    "attempts_with_usd",
)
"""Columns that are added up, in tables and views of spending."""

_SUM_COLUMNS = ",\n    ".join(f"{name} INTEGER NOT NULL" for name in SUMS)

# An ensemble counts once as an attempt but in the rows of several models, so that neither of the
# two kinds of sums can be had from the other.
_DAILY = f"""
CREATE TABLE daily (
    day TEXT NOT NULL, key TEXT NOT NULL, profile TEXT NOT NULL, task TEXT NOT NULL,
    plan_kind TEXT NOT NULL,
    {_SUM_COLUMNS},
    tier_rank INTEGER NOT NULL,
    PRIMARY KEY (day, key, profile, task, plan_kind)
) WITHOUT ROWID;

CREATE TABLE daily_models (
    day TEXT NOT NULL, key TEXT NOT NULL, profile TEXT NOT NULL, task TEXT NOT NULL,
    plan_kind TEXT NOT NULL, model TEXT NOT NULL,
    {_SUM_COLUMNS},
    tier_rank INTEGER NOT NULL,
    PRIMARY KEY (day, key, profile, task, plan_kind, model)
) WITHOUT ROWID;
"""


def _spent(row: str) -> str:
    """Columns of one charge, or of one model's part in it, as sums of a single attempt."""
    return f"""
    1 AS attempts, {row}.prompt_tokens, {row}.cached_prompt_tokens, {row}.generated_tokens,
    COALESCE({row}.microjoules, 0) AS microjoules,
    {row}.microjoules IS NOT NULL AS attempts_with_joules,
    COALESCE({row}.nano_usd, 0) AS nano_usd,
    {row}.nano_usd IS NOT NULL AS attempts_with_usd,
    CASE WHEN {row}.microjoules IS NULL THEN 0 WHEN {row}.tier = 'measured' THEN 1 ELSE 2 END
        AS tier_rank"""


_DIMENSIONS = """
    charges.id AS charge_id, charges.finished_at AS at,
    date(charges.finished_at, 'unixepoch') AS day,
    charges.key, charges.profile, charges.task, charges.plan_kind"""
_OF_A_DAY = f"""
    NULL, CAST(strftime('%s', day) AS REAL), day, key, profile, task, plan_kind,
    {", ".join(SUMS)}, tier_rank"""

_VIEWS = f"""
CREATE VIEW spending AS
    SELECT {_DIMENSIONS}, {_spent("charges")} FROM charges
    UNION ALL SELECT {_OF_A_DAY} FROM daily;

CREATE VIEW model_spending AS
    SELECT {_DIMENSIONS}, {_spent("part")}, part.model
    FROM charges JOIN model_charges AS part ON part.charge_id = charges.id
    UNION ALL SELECT {_OF_A_DAY}, model FROM daily_models;
"""

SCHEMA = _TABLES + _DAILY + _VIEWS
"""Statements that make an empty ledger, before ``upgrade``."""

# An older release reads and writes a ledger with these all the same: they are no new schema.
_ADDED_COLUMNS = {
    "charges": {
        "settled_at": "REAL",
        "settled_boot": "TEXT NOT NULL DEFAULT ''",
        "settled_since_boot": "REAL NOT NULL DEFAULT 0",
    }
}
_ADDED_TABLES = {
    "clock_readings": """
CREATE TABLE IF NOT EXISTS clock_readings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    after_charge INTEGER NOT NULL,
    utc REAL NOT NULL,
    boot TEXT NOT NULL,
    since_boot REAL NOT NULL
)""",
    "ratings": RATINGS,
}


def upgrade(connection: sqlite3.Connection) -> None:
    """Adds what this release keeps and the one that made the ledger did not."""
    missing = [
        f"ALTER TABLE {table} ADD COLUMN {name} {kind}"
        for table, columns in _ADDED_COLUMNS.items()
        for name, kind in columns.items()
        if name not in _columns_of(connection, table)
    ]
    missing += [made for name, made in _ADDED_TABLES.items() if not _columns_of(connection, name)]
    if missing:
        connection.executescript(f"BEGIN IMMEDIATE; {';'.join(missing)}; COMMIT;")


def _columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
