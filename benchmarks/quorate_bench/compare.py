"""Two files of records side by side: two machines, or two versions on one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from quorate_bench.cases import Case, case_of
from quorate_bench.intervals import Interval, ratio_interval
from quorate_bench.records import Records

_QUANTITIES = ("token_ms", "first_ms", "joules_per_token")


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of one case.

    Attributes:
        quantity: ``token_ms``, ``first_ms`` or ``joules_per_token``; less is better in all.
        ratio: Second over first.
        verdict: ``less``, ``more`` or ``no difference``, by whether the interval excludes 1.
    """

    case: Case
    quantity: str
    ratio: Interval
    verdict: str


def compare(first: Records, second: Records) -> list[Compared]:
    """What both measured, in the order of the first."""
    ours, theirs = _values(first), _values(second)
    return [
        _compared(case, quantity, ours[case, quantity], theirs[case, quantity])
        for case, quantity in ours
        if theirs.get((case, quantity))
    ]


def _compared(case: Case, quantity: str, ours: list[float], theirs: list[float]) -> Compared:
    ratio = ratio_interval(theirs, ours)
    verdict = "less" if ratio.high < 1 else "more" if ratio.low > 1 else "no difference"
    return Compared(case, quantity, ratio, verdict)


def _values(records: Records) -> dict[tuple[Case, str], list[float]]:
    found: dict[tuple[Case, str], list[float]] = defaultdict(list)
    for record in records.measurements:
        case = case_of(record)
        for quantity in _QUANTITIES:
            value = _value(record, quantity)
            if value is not None and value > 0:
                found[case, quantity].append(value)
    return dict(found)


def _value(record: dict[str, Any], quantity: str) -> float | None:
    if quantity == "joules_per_token":
        joules = record["joules"]
        return None if joules is None else float(joules) / record["tokens"]
    values = record["gaps_ms" if quantity == "token_ms" else "first_ms"]
    return float(sum(values)) / len(values)
