"""Figures of a benchmark: a table for people, JSON lines for programs."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured value and the goal it is held against.

    Attributes:
        unit: Such as "ms"; a ratio has "x".
        goal: The goal in words, such as "<= 1.05", or "" where there is none.
        holds: Whether the goal is met, or None where there is none.
        detail: What it was made from.
    """

    name: str
    value: float
    unit: str
    goal: str
    holds: bool | None
    detail: str


def figure(
    name: str,
    value: float,
    unit: str,
    detail: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """Makes a figure and holds it against its goal, if it has one."""
    if at_most is not None:
        return Figure(name, value, unit, f"<= {at_most:g}", value <= at_most, detail)
    if at_least is not None:
        return Figure(name, value, unit, f">= {at_least:g}", value >= at_least, detail)
    return Figure(name, value, unit, "", None, detail)


def side_by_side(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float, float]:
    """Measures two things in turn, so that a machine whose speed drifts cannot favour one.

    Returns:
        Median of ours, median of theirs, and the median of the ratios round by round.
    """
    return round_by_round(lambda _: ours(), lambda _: theirs(), rounds)


def round_by_round(
    ours: Callable[[int], float], theirs: Callable[[int], float], rounds: int
) -> tuple[float, float, float]:
    """The same for what is asked something else in each round, of which both hear the number."""
    pairs = []
    for index in range(rounds):
        if index % 2:
            second, first = theirs(index), ours(index)
        else:
            first, second = ours(index), theirs(index)
        pairs.append((first, second))
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def report(figures: Sequence[Figure], form: Literal["table", "json"]) -> None:
    """Prints figures to standard output."""
    if form == "json":
        for one in figures:
            print(json.dumps(asdict(one)), flush=True)
        return
    width = max(len(one.name) for one in figures)
    for one in figures:
        verdict = {True: "holds", False: "MISSED", None: ""}[one.holds]
        value = f"{one.value:.3g} {one.unit}" if one.unit != "x" else f"{one.value:.3f}x"
        print(f"{one.name:{width}}  {value:>12}  {one.goal:>8}  {verdict:6}  {one.detail}")


def say(message: str) -> None:
    """Tells of progress on standard error."""
    print(f"  {message} …", file=sys.stderr, flush=True)
