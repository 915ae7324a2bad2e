"""Which members are worth asking together: those that are good, and wrong at other times. Pure.

How far members' errors go together says more of what a vote of them is worth than how often each is
right (arXiv 2602.08003).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that were asked the same questions.

    Attributes:
        first: The one that was right more often.
        second: The other one.
        best: Share of right answers of ``first``.
        either: Share of the questions that at least one of them answered rightly: no vote or choice
            between their answers does better.
        correlation: Of their errors, from -1 to 1; None where one of them made none, or no other.
    """

    first: str
    second: str
    best: float
    either: float
    correlation: float | None


def pairs_of(right: Mapping[str, Sequence[bool]]) -> list[Pair]:
    """All pairs, those first of which one is right most often.

    Args:
        right: By model whether it answered each question rightly; the same ones, at least one.
    """
    ranked = sorted(right, key=lambda model: -sum(right[model]))
    found = [_pair(*names, right) for names in combinations(ranked, 2)]
    return sorted(found, key=lambda pair: -pair.either)


def _pair(first: str, second: str, right: Mapping[str, Sequence[bool]]) -> Pair:
    ours, theirs = right[first], right[second]
    cases = len(ours)
    either = sum(one or other for one, other in zip(ours, theirs, strict=True)) / cases
    return Pair(first, second, sum(ours) / cases, either, _correlation(ours, theirs))


def _correlation(ours: Sequence[bool], theirs: Sequence[bool]) -> float | None:
    """Pearson's correlation of two lists of truths."""
    cases = len(ours)
    first, second = sum(ours) / cases, sum(theirs) / cases
    both = sum(one and other for one, other in zip(ours, theirs, strict=True)) / cases
    spread = math.sqrt(first * (1 - first) * second * (1 - second))
    return (both - first * second) / spread if spread else None
