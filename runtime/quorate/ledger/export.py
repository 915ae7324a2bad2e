"""Charges as lines of CSV or JSON, one by one, so that no export is too long for memory."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from quorate.ledger.charges import Charge
from quorate.request import EnergyTier

# A spreadsheet takes a cell that begins so for a formula, and request ids are the callers' own.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(charges: Iterable[Charge]) -> Iterator[str]:
    """A header and a line for each charge, each with its line end; RFC 4180.

    What is not known is an empty cell. The parts of the models are JSON in the last column. A text
    that a spreadsheet would run as a formula has an apostrophe before it.
    """
    names = [field.name for field in dataclasses.fields(Charge)]
    yield _csv_line(names)
    for charge in charges:
        values = _plain(charge)
        values["models"] = json.dumps(values["models"])
        yield _csv_line([_cell(values[name]) for name in names])


def json_lines(charges: Iterable[Charge]) -> Iterator[str]:
    """An object for each charge, each on a line of its own; what is not known is null."""
    for charge in charges:
        yield json.dumps(_plain(charge)) + "\n"


def _plain(charge: Charge) -> dict[str, Any]:
    values = {name: _number(value) for name, value in dataclasses.asdict(charge).items()}
    values["models"] = [
        {name: _number(value) for name, value in part.items()} for part in values["models"]
    ]
    return values


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.value if isinstance(value, EnergyTier) else value


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _csv_line(kv_tokens: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(kv_tokens)
    return line.getvalue()
