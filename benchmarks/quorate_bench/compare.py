"""Two files of records side by side: two machines, or two versions on one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import Any

from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case, case_of
from quorate_bench.intervals import ratio_interval
from quorate_bench.records import Records
from quorate_bench.summary import token_ms

QUANTITIES = MappingProxyType(
    {
        "token_ms": "time per token",
        "first_ms": "time to first token",
        "joules_per_token": "joules per token",
    }
)
"""What is compared, for people by its name; less is better in all."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of one case.

    Attributes:
        quantity: One of ``QUANTITIES``.
        ratio: Second over first.
        verdict: ``less``, ``more`` or ``no difference``, by whether the interval excludes 1.
    """

    case: Case
    quantity: str
    ratio: Interval
    verdict: str


def compare(first: Records, second: Records) -> list[Compared]:
    """What both measured, in the order of the first.

    Of two machines all cores of one are held against all of the other, however many they are.
    """
    ours, theirs = _values(first), _values(second)
    return [
        _compared(ours[key].case, key[1], ours[key].values, theirs[key].values)
        for key in ours
        if key in theirs
    ]


def other_files(first: Records, second: Records) -> list[str]:
    """Names of models that are not the same file in both."""
    ours, theirs = first.run["models"], second.run["models"]
    return [
        name
        for name, told in ours.items()
        if name in theirs and told["sha256"] != theirs[name]["sha256"]
    ]


def _compared(case: Case, quantity: str, ours: list[float], theirs: list[float]) -> Compared:
    ratio = ratio_interval(theirs, ours)
    verdict = "less" if ratio.high < 1 else "more" if ratio.low > 1 else "no difference"
    return Compared(case, quantity, ratio, verdict)


_Key = tuple[Case, str]


@dataclass(frozen=True, slots=True)
class _Values:
    case: Case
    values: list[float]


def _values(records: Records) -> dict[_Key, _Values]:
    """Values of each quantity by case, in which 0 cores are all of the machine's."""
    every = records.run["machine"]["cores"]
    found: dict[_Key, _Values] = {}
    for record in records.measurements:
        case = case_of(record)
        cores = case.setting.cores
        setting = replace(case.setting, cores=0 if cores == every else cores)
        for quantity in QUANTITIES:
            value = _value(record, quantity)
            if value is not None and value > 0:
                key = replace(case, setting=setting), quantity
                found.setdefault(key, _Values(case, [])).values.append(value)
    return found


def _value(record: dict[str, Any], quantity: str) -> float | None:
    if quantity == "joules_per_token":
        joules = record["joules"]
        return None if joules is None else float(joules) / record["tokens"]
    return token_ms(record) if quantity == "token_ms" else fmean(record["first_ms"])
