"""Sums over the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from quorate.ledger.money import from_nano_usd
from quorate.ledger.schema import SUMS
from quorate.ledger.spending import Dimension, SpendFilter, SpendRow
from quorate.request import EnergyTier

_TIERS = (EnergyTier.UNAVAILABLE, EnergyTier.MEASURED, EnergyTier.ESTIMATED)


def summarize(
    connection: sqlite3.Connection,
    group_by: Collection[Dimension],
    since: float | None,
    until: float | None,
    chosen: SpendFilter,
) -> tuple[SpendRow, ...]:
    """Sums of what was spent; arguments and result are those of ``LedgerReader.summarize``.

    Raises:
        sqlite3.Error: As SQLite gives it.
    """
    dimensions = [dimension for dimension in Dimension if dimension in group_by]
    by_model = Dimension.MODEL in group_by or chosen.model is not None
    conditions, values = ["1"], []
    limits = {"at >= ?": since, "at < ?": until}
    names = {f"{field.name} = ?": getattr(chosen, field.name) for field in fields(chosen)}
    for condition, value in {**limits, **names}.items():
        if value is not None:
            conditions.append(condition)
            values.append(value)
    columns = [dimension.value for dimension in dimensions]
    sums = [f"SUM({name})" for name in SUMS]
    grouping = f"GROUP BY {', '.join(columns)} ORDER BY {', '.join(columns)}" if columns else ""
    rows = connection.execute(
        f"""SELECT {", ".join([*columns, *sums, "MAX(tier_rank)"])}
        FROM {"model_spending" if by_model else "spending"}
        WHERE {" AND ".join(conditions)} {grouping}""",
        values,
    )
    # A sum without groups has a row even where it has nothing to add up.
    return tuple(_row(dimensions, row) for row in rows if row[len(dimensions)] is not None)


def _row(dimensions: Sequence[Dimension], row: Sequence[Any]) -> SpendRow:
    width = len(dimensions)
    sums = dict(zip(SUMS, row[width:-1], strict=True))
    with_joules = sums["attempts_with_joules"]
    return SpendRow(
        group=dict(zip(dimensions, row[:width], strict=True)),
        attempts=sums["attempts"],
        prompt_tokens=sums["prompt_tokens"],
        cached_prompt_tokens=sums["cached_prompt_tokens"],
        generated_tokens=sums["generated_tokens"],
        joules=sums["microjoules"] / 1e6 if with_joules else None,
        attempts_without_joules=sums["attempts"] - with_joules,
        tier=_TIERS[row[-1]],
        usd=from_nano_usd(sums["nano_usd"]) if sums["attempts_with_usd"] else None,
    )
