"""Charges and reservations as rows of the ledger, and back."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from quorate.clocks import Reading
from quorate.errors import Internal
from quorate.ledger.charges import Charge, ModelCharge, Reservation
from quorate.ledger.money import from_nano_usd, round_up, to_nano_usd
from quorate.request import EnergyTier

OVERHEAD = -1
"""Position of the part that belongs to no model; parts of models count from 0."""

# Fields that are kept as integers of a smaller unit, and the columns they stand in.
_COLUMNS = {
    "joules": "microjoules",
    "idle_joules": "idle_microjoules",
    "usd": "nano_usd",
    "reserved_usd": "reserved_nano_usd",
}


# Worked out once: rows are written for every request.
_FIELDS: dict[Any, tuple[str, ...]] = {
    kind: tuple(one.name for one in dataclasses.fields(kind) if one.name != "models")
    for kind in (Charge, ModelCharge, Reservation)
}


def _columns(cls: Any) -> tuple[str, ...]:
    return tuple(_COLUMNS.get(name, name) for name in _FIELDS[cls])


CHARGE_COLUMNS = _columns(Charge)
MODEL_COLUMNS = _columns(ModelCharge)
RESERVATION_COLUMNS = _columns(Reservation)
_READING_COLUMNS = ("settled_at", "settled_boot", "settled_since_boot")


def insert_reservation(connection: sqlite3.Connection, row: Sequence[Any]) -> None:
    """Writes a reservation down; a second one of the same attempt is not kept."""
    connection.execute(_insert("reservations", RESERVATION_COLUMNS), row)


def raise_reservation(connection: sqlite3.Connection, attempt_id: str, usd: Decimal) -> None:
    """Writes down that an attempt may cost so much in all; one that is settled stays as it is."""
    connection.execute(
        "UPDATE reservations SET reserved_nano_usd = ? WHERE attempt_id = ?",
        (to_nano_usd(usd), attempt_id),
    )


def settle_rows(
    connection: sqlite3.Connection,
    row: Sequence[Any],
    parts: Iterable[Sequence[Any]],
    settled: Reading,
) -> None:
    """Turns the reservation of an attempt, if there is one, into its charge.

    A second charge of the same attempt is not kept. Wants a transaction around it.

    Args:
        connection: Of the ledger.
        row: Of the charge.
        parts: Of its models.
        settled: What the clocks say now.
    """
    attempt_id = row[CHARGE_COLUMNS.index("attempt_id")]
    connection.execute("DELETE FROM reservations WHERE attempt_id = ?", (attempt_id,))
    inserted = connection.execute(
        _insert("charges", (*CHARGE_COLUMNS, *_READING_COLUMNS)),
        (*row, settled.utc, settled.boot, settled.since_boot),
    )
    if not inserted.rowcount:
        return
    charge_id = inserted.lastrowid
    connection.executemany(
        _insert("model_charges", ("charge_id", "position", *MODEL_COLUMNS)),
        [(charge_id, *part) for part in parts],
    )


def reservations(connection: sqlite3.Connection) -> list[Reservation]:
    """All reservations that nobody has settled."""
    names = ", ".join(RESERVATION_COLUMNS)
    rows = connection.execute(f"SELECT {names} FROM reservations ORDER BY started_at")
    return [_value(Reservation, RESERVATION_COLUMNS, row) for row in rows]


def row_of(value: Charge | ModelCharge | Reservation) -> tuple[Any, ...]:
    """Its values in the order of ``CHARGE_COLUMNS``, ``MODEL_COLUMNS``, ``RESERVATION_COLUMNS``."""
    names = _FIELDS[type(value)]
    return tuple(_stored(name, getattr(value, name)) for name in names)


def part_rows(charge: Charge) -> list[tuple[Any, ...]]:
    """The parts of a balanced charge: position, then values in the order of ``MODEL_COLUMNS``.

    What no model spent is a part of its own, without a model's name, so that the parts add up.
    """
    rows = [(position, *row_of(part)) for position, part in enumerate(charge.models)]
    if not charge.models:
        alone = ModelCharge(
            model="",
            prompt_tokens=charge.prompt_tokens,
            cached_prompt_tokens=charge.cached_prompt_tokens,
            generated_tokens=charge.generated_tokens,
            joules=charge.joules,
            tier=charge.tier,
            usd=charge.usd,
        )
        return [(OVERHEAD, *row_of(alone))]
    joules = _rest(charge.joules, [microjoules(part.joules) for part in charge.models])
    usd = _rest_usd(charge.usd, [part.usd for part in charge.models])
    if joules or usd:
        rest = ModelCharge(model="", joules=joules, tier=charge.tier, usd=usd)
        rows.append((OVERHEAD, *row_of(rest)))
    return rows


def balanced(charge: Charge) -> Charge:
    """The charge with totals that are no less than what its models add up to.

    A total that exceeds them by less than a microjoule for each model does so by rounding alone,
    and becomes their sum.
    """
    known = [j for part in charge.models if (j := microjoules(part.joules)) is not None]
    total, tier = microjoules(charge.joules), charge.tier
    if known and (total is None or total <= sum(known) + len(known)):
        total = sum(known)
        tier = _less_certain([part.tier for part in charge.models if part.joules is not None])
    models = tuple(dataclasses.replace(part, usd=_rounded(part.usd)) for part in charge.models)
    priced = [part.usd for part in models if part.usd is not None]
    usd = _rounded(charge.usd)
    if priced and (usd is None or usd < sum(priced)):
        usd = sum(priced, Decimal(0))
    joules = None if total is None else total / 1e6
    return dataclasses.replace(charge, joules=joules, tier=tier, usd=usd, models=models)


def charge_of(row: Sequence[Any], models: tuple[ModelCharge, ...]) -> Charge:
    """A charge from values in the order of ``CHARGE_COLUMNS``."""
    charge: Charge = _value(Charge, CHARGE_COLUMNS, row)
    return dataclasses.replace(charge, models=models)


def model_charge_of(row: Sequence[Any]) -> ModelCharge:
    """A part from values in the order of ``MODEL_COLUMNS``."""
    part: ModelCharge = _value(ModelCharge, MODEL_COLUMNS, row)
    return part


def microjoules(joules: float | None) -> int | None:
    """Energy as a whole number of microjoules, to the nearest.

    Raises:
        Internal: Not a finite amount.
    """
    if joules is None:
        return None
    if not math.isfinite(joules):
        raise Internal(f"an energy of {joules} joules cannot be kept in the ledger")
    return round(joules * 1e6)


def _less_certain(tiers: Sequence[EnergyTier]) -> EnergyTier:
    measured = all(tier is EnergyTier.MEASURED for tier in tiers)
    return EnergyTier.MEASURED if measured else EnergyTier.ESTIMATED


def _rounded(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else round_up(usd)


def _rest(total: float | None, parts: Sequence[int | None]) -> float | None:
    whole = microjoules(total)
    return None if whole is None else (whole - sum(part or 0 for part in parts)) / 1e6


def _rest_usd(total: Decimal | None, parts: Sequence[Decimal | None]) -> Decimal | None:
    return None if total is None else total - sum((part or Decimal(0)) for part in parts)


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) ON CONFLICT DO NOTHING"


def _stored(name: str, value: Any) -> Any:
    if isinstance(value, EnergyTier):
        return value.value
    if isinstance(value, Decimal):
        return to_nano_usd(value)
    return microjoules(value) if name in ("joules", "idle_joules") else value


def _value(cls: Any, columns: Sequence[str], row: Sequence[Any]) -> Any:
    names = {column: name for name, column in _COLUMNS.items()}
    values = {
        names.get(column, column): _loaded(column, stored)
        for column, stored in zip(columns, row, strict=True)
    }
    return cls(**values)


def _loaded(column: str, stored: Any) -> Any:
    if column == "tier":
        return EnergyTier(stored)
    if stored is None:
        return None
    if column.endswith("nano_usd"):
        return from_nano_usd(stored)
    return stored / 1e6 if column.endswith("microjoules") else stored
