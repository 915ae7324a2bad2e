"""How far shares of right answers, and differences between them, can be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quorate.routing.quality import Tally

_Z = 1.959963984540054
_Z_POWER = 0.8416212335729143
_RESAMPLES = 4000
_SEED = 1
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether one way to answer is better than another on the same cases.

    Attributes:
        difference: Share of right answers of the first less that of the second.
        cases: Cases that both answered.
        wins: Of them, those that the first alone answered rightly.
        losses: Those that the second alone answered rightly.
        verdict: ``better``, ``worse`` or ``cannot be told with N cases``.
        needed: Cases that would tell a difference of this size four times of five; None where there
            is no difference.
    """

    difference: Interval
    cases: int
    wins: int
    losses: int
    verdict: str
    needed: int | None = None


def share_interval(counted: Tally) -> Interval:
    """Share of right answers (Wilson, Probable inference, 1927).

    A tally without cases has the interval from 0 to 1 around 0.5.
    """
    cases = counted.cases
    if cases <= 0:
        return Interval(0.5, 0.0, 1.0)
    share = counted.right / cases
    spread = 1 + _Z**2 / cases
    centre = (share + _Z**2 / (2 * cases)) / spread
    half = _Z / spread * math.sqrt(share * (1 - share) / cases + _Z**2 / (4 * cases**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def difference_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Mean of the differences case by case (paired percentile bootstrap; Efron, 1979)."""
    differences = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    if not len(differences):
        return Interval(0.0, -1.0, 1.0)
    # Cases with one difference are drawn at once: how often each comes up is multinomial.
    values, counts = np.unique(differences, return_counts=True)
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(len(differences), counts / len(differences), _RESAMPLES)
    means = drawn @ values / len(differences)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(differences.mean()), float(low), float(high))


def compare(ours: Sequence[bool], theirs: Sequence[bool]) -> Comparison:
    """Compares two ways to answer case by case.

    A difference counts where its bootstrap interval excludes 0 and the exact sign test on the cases
    that only one of them answered rightly (McNemar, 1947) agrees: the bootstrap alone is sure of
    itself after three cases that all went one way.
    """
    difference = difference_interval([float(one) for one in ours], [float(one) for one in theirs])
    wins = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    losses = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    verdict = f"cannot be told with {len(ours)} case{'' if len(ours) == 1 else 's'}"
    if _sign_test(wins, losses) < _SIGNIFICANT:
        if difference.low > 0:
            verdict = "better"
        elif difference.high < 0:
            verdict = "worse"
    return Comparison(
        difference, len(ours), wins, losses, verdict, cases_needed(wins, losses, len(ours))
    )


def cases_needed(wins: int, losses: int, cases: int) -> int | None:
    """Cases by which a difference would be told, were it as large as it looks.

    For the sign test at 5 % and a power of 80 % (Connor, Sample size for testing differences in
    proportions for the paired-sample design, 1987).

    Args:
        wins: Cases that the first way alone answered rightly.
        losses: Those that the second alone did.
        cases: All of them.

    Returns:
        None where there is no difference.
    """
    if wins == losses:
        return None
    unequal, difference = (wins + losses) / cases, abs(wins - losses) / cases
    spread = math.sqrt(max(0.0, unequal - difference**2))
    return math.ceil(((_Z * math.sqrt(unequal) + _Z_POWER * spread) / difference) ** 2)


def _sign_test(wins: int, losses: int) -> float:
    """Two-sided probability of a split at least as uneven, were both equally likely."""
    count = wins + losses
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << count))
