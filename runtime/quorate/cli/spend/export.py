"""Sums of a ledger for programs: CSV, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from quorate.cli.json_lines import message_fields
from quorate.cli.spend.report import SpendReport
from quorate.ledger.spending import Dimension, SpendRow

_FIGURES = (
    "requests",
    "prompt_tokens",
    "generated_tokens",
    "joules",
    "tier",
    "without_energy",
    "usd",
)
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
        yield _json_line({"event": "spend", "group": group, **_figures(row)})
    for window in report.windows:
        yield _json_line({"event": "budget", **message_fields(window)})
    if report.machine is not None:
        yield _json_line({"event": "machine", **message_fields(report.machine)})


def _figures(row: SpendRow) -> dict[str, Any]:
    values = (
        row.attempts,
        row.prompt_tokens,
        row.generated_tokens,
        row.joules,
        row.tier.value,
        row.attempts_without_joules,
        float(row.usd or 0),
    )
    return dict(zip(_FIGURES, values, strict=True))


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _json_line(fields: dict[str, Any]) -> str:
    return json.dumps(fields) + "\n"
