"""Whether a variant is better than the best so far, by repetitions side by side. Pure.

In each repetition everything is measured once, with prompts of the same length, so that what a
machine does beside it falls on all: ratios are taken within a repetition, and their logarithms have
an interval by Student's t, which for few repetitions is as wide as it must be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from scipy import stats

from quorate.calibration.intervals import Interval

MARGIN = 0.02
"""What a variant must surely gain to be taken: a setting more is worth something, too."""

# After one repetition, after two and more: where nobody need wait for an interval.
_HOPELESS = math.log(3.0)
_SLOWER = math.log(1.1)
_SURE = 0.975
_FEWEST = 3

OPEN = "open"
BETTER = "better"
WORSE = "worse"
NO_BETTER = "no better"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a variant.

    Attributes:
        ratio: What it takes of what the best so far takes, over all cases; below 1 is better.
        verdict: ``open``, ``better``, ``worse``, ``no better`` or ``failed``.
        why: For whom it is worse, or what it failed of; "" where that is said by the ratio.
        repetitions: How often it was measured.
    """

    ratio: Interval
    verdict: str
    why: str
    repetitions: int


def ratio_interval(logs: Sequence[float]) -> Interval:
    """Geometric mean of ratios with its 95 % interval; without bounds of one alone.

    Args:
        logs: Natural logarithms of the ratios.

    Raises:
        ValueError: There are none.
    """
    if not len(logs):
        raise ValueError("a ratio needs a measurement")
    mean = fmean(logs)
    if len(logs) == 1:
        return Interval(math.exp(mean), 0.0, math.inf)
    error = math.sqrt(math.fsum((one - mean) ** 2 for one in logs) / (len(logs) - 1) / len(logs))
    half = _quantile(len(logs) - 1) * error
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


@cache
def _quantile(freedom: int) -> float:
    """Of Student's t; a search asks for the same few over and over."""
    return float(stats.t.ppf(_SURE, freedom))


def standing(pairs: Sequence[Mapping[str, float]], wanted: int) -> Standing:
    """Judges a variant.

    Args:
        pairs: Of each repetition, the logarithm of its ratio to the best so far, by case.
        wanted: Repetitions after which it is decided in any case.

    Raises:
        ValueError: There are no repetitions.
    """
    overall = [fmean(pair.values()) for pair in pairs]
    ratio = ratio_interval(overall)
    verdict, why = _verdict(ratio, overall, len(pairs) >= wanted), ""
    if verdict != WORSE and len(pairs[0]) > 1:
        for case in pairs[0]:
            logs = [pair[case] for pair in pairs]
            if _is_worse(logs, ratio_interval(logs)):
                verdict, why = WORSE, f"worse for {case}"
                break
    return Standing(ratio, verdict, why, len(pairs))


def _verdict(ratio: Interval, logs: Sequence[float], at_the_end: bool) -> str:
    if _is_worse(logs, ratio):
        return WORSE
    enough = len(logs) >= _FEWEST or at_the_end
    if enough and ratio.high < 1 - MARGIN:
        return BETTER
    # Nothing that is worth having can be expected of it any more.
    if at_the_end or (enough and ratio.low > 1 - MARGIN):
        return NO_BETTER
    return OPEN


def _is_worse(logs: Sequence[float], ratio: Interval) -> bool:
    if len(logs) == 1:
        return logs[0] > _HOPELESS
    return ratio.low > 1 or all(one > _SLOWER for one in logs)
