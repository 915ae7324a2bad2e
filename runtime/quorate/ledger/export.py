"""Charges as lines of CSV or plain values, one by one, so that no export is too long for memory."""

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

# What programs read: an order of its own, so that it outlives changes of the classes.
_FIELDS = (
    *("attempt_id", "request_id", "started_at", "finished_at", "plan_kind", "outcome", "key"),
    *("policy_version", "plan", "profile", "task", "candidates", "clause", "finish_reason"),
    *("prompt_tokens", "cached_prompt_tokens", "generated_tokens"),
    *("time_to_first_token_ms", "time_per_token_ms", "duration_ms"),
    *("joules", "tier", "idle_joules", "price_version", "reserved_usd", "usd"),
    *("prompt_hash", "prompt_text", "models"),
)
_WRITTEN_AS_JSON = ("plan", "candidates")
# A spreadsheet takes a cell that begins so for a formula, and request ids are the callers' own.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(charges: Iterable[Charge]) -> Iterator[str]:
    """A header and a line for each charge, each with its line end; RFC 4180.

    What is not known is an empty cell. The parts of the models are JSON in the last column. A text
    that a spreadsheet would run as a formula has an apostrophe before it.
    """
    yield _csv_line(_FIELDS)
    for charge in charges:
        values = _plain(charge)
        values["models"] = json.dumps(values["models"])
        yield _csv_line([_cell(value) for value in values.values()])


def plain_charges(charges: Iterable[Charge]) -> Iterator[dict[str, Any]]:
    """Each charge as values that JSON has; what is not known is None.

    Plan and candidates, which the ledger keeps as JSON, are what that says.
    """
    for charge in charges:
        values = _plain(charge)
        for name in _WRITTEN_AS_JSON:
            values[name] = _read(values[name])
        yield values


def _read(text: str) -> Any:
    """A text of the ledger; of one that is no JSON, as another hand wrote it, the text itself."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _plain(charge: Charge) -> dict[str, Any]:
    known = dataclasses.asdict(charge)
    values = {name: _number(known[name]) for name in _FIELDS}
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


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
