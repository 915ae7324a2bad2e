"""Sums and charges of a ledger as rows of text, as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from quorate.amounts import duration_text, joules_text, usd_text
from quorate.cli.events import event_line
from quorate.cli.spending import SpendReport
from quorate.cli.views.formatting import UNKNOWN
from quorate.cli.views.json_lines import message_fields
from quorate.foreign_text import one_line
from quorate.ledger import export
from quorate.ledger.charges import Charge
from quorate.ledger.spending import Dimension, SpendRow
from quorate.request import EnergyTier

UNCHARGED = "-"
ABOUT = "~ estimated"
"""What the sign before an energy means."""

_FIGURES: dict[str, Callable[[SpendRow], Any]] = {
    "requests": lambda row: row.attempts,
    "prompt_tokens": lambda row: row.prompt_tokens,
    "generated_tokens": lambda row: row.generated_tokens,
    "joules": lambda row: row.joules,
    "tier": lambda row: row.tier.value,
    "without_energy": lambda row: row.attempts_without_joules,
    "usd": lambda row: float(row.usd or 0),
}
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that a table has only where there is something in them.

    Attributes:
        gaps: Attempts whose energy is not known, beside the sum of the others.
        dollars: What was charged.
    """

    gaps: bool
    dollars: bool


def columns_of(rows: Collection[SpendRow]) -> Columns:
    """The columns that sums need."""
    return Columns(
        gaps=any(row.attempts_without_joules and row.joules is not None for row in rows),
        dollars=any(row.usd for row in rows),
    )


def headings(group_by: Sequence[Dimension], columns: Columns) -> list[str]:
    """Headings of ``row``."""
    names = [dimension.value.replace("_", " ") for dimension in group_by]
    gaps, dollars = ["unknown"] * columns.gaps, ["usd"] * columns.dollars
    return [*names, "requests", "tokens in", "out", "energy", *gaps, *dollars]


def row(spend: SpendRow, group_by: Sequence[Dimension], columns: Columns) -> list[str]:
    """Names of the group, then its sums; energy that is not known is said to be unknown."""
    missing = f"{spend.attempts_without_joules:,}"
    return [
        *(group_name(dimension, spend.group[dimension]) for dimension in group_by),
        f"{spend.attempts:,}",
        f"{spend.prompt_tokens:,}",
        f"{spend.generated_tokens:,}",
        _energy(spend.joules, f" {spend.tier.value}"),
        *([missing] if columns.gaps else []),
        *([usd_text(float(spend.usd or 0))] if columns.dollars else []),
    ]


def group_name(dimension: Dimension, value: str) -> str:
    """Name of a group for people; what has no name is said to have none."""
    return one_line(value) or f"(no {dimension.value.replace('_', ' ')})"


def joules_share(spend: SpendRow, rows: Collection[SpendRow]) -> float | None:
    """Share of the energy that is known, or None where it is not."""
    whole = sum(each.joules or 0.0 for each in rows)
    return spend.joules / whole if spend.joules is not None and whole > 0 else None


def charge_rows(charges: Sequence[Charge]) -> list[list[str]]:
    """Headings, then when and how each attempt ended, who made it, and what it took.

    Energy that is estimated has a ``~`` before it.
    """
    dollars = any(charge.usd is not None for charge in charges)
    names = ["ended, UTC", "plan", "models", "outcome", "tokens", "time", "energy"]
    cells = [names, *map(_charge_row, charges)]
    if dollars:
        usd = [UNCHARGED if each.usd is None else usd_text(float(each.usd)) for each in charges]
        for line, cell in zip(cells, ["usd", *usd], strict=True):
            line.append(cell)
    return cells


def _charge_row(charge: Charge) -> list[str]:
    ended = datetime.fromtimestamp(charge.finished_at, UTC)
    models = "+".join(part.model for part in charge.models)
    about = "~" if charge.tier is EnergyTier.ESTIMATED else ""
    return [
        ended.strftime("%Y-%m-%d %H:%M"),
        one_line(charge.profile or charge.plan_kind),
        one_line(models) or UNCHARGED,
        charge.outcome,
        f"{charge.generated_tokens:,}",
        UNKNOWN if charge.duration_ms is None else duration_text(charge.duration_ms),
        about + _energy(charge.joules, ""),
    ]


def _energy(joules: float | None, told: str) -> str:
    return UNKNOWN if joules is None else f"{joules_text(joules)}{told}"


def csv_lines(report: SpendReport, group_by: Sequence[Dimension]) -> Iterator[str]:
    """A header and a line for each group; what is not known is an empty cell."""
    yield _csv_line([*(dimension.value for dimension in group_by), *_FIGURES])
    for row in report.rows:
        names = [_cell(row.group[dimension]) for dimension in group_by]
        yield _csv_line([*names, *_figures(row).values()])


def json_lines(report: SpendReport) -> Iterator[str]:
    """An object for each group, each window of the budget, and the machine, named by ``event``.

    What is not known is null.
    """
    for row in report.rows:
        group = {dimension.value: name for dimension, name in row.group.items()}
        yield _json_line("spend", {"group": group, **_figures(row)})
    for window in report.windows:
        yield _json_line("budget", message_fields(window))
    if report.machine is not None:
        yield _json_line("machine", message_fields(report.machine))


def charge_lines(charges: Sequence[Charge]) -> Iterator[str]:
    """An object for each charge."""
    for values in export.plain_charges(charges):
        yield _json_line("charge", values)


def _figures(row: SpendRow) -> dict[str, Any]:
    return {name: figure(row) for name, figure in _FIGURES.items()}


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _json_line(event: str, fields: dict[str, Any]) -> str:
    return event_line(event, fields) + "\n"
