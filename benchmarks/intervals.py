"""Bootstrap intervals of shares and of their paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_RESAMPLES = 4000
_SEED = 1


class Interval(NamedTuple):
    """An estimate with its 95 % interval (percentile bootstrap, Efron 1979)."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of the values, resampled by value."""
    data = np.asarray(values, np.float64)
    if not len(data):
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(_SEED)
    means = data[rng.integers(0, len(data), (_RESAMPLES, len(data)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(data.mean()), float(low), float(high))


def difference_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Mean of the differences case by case, resampled by case."""
    return mean_interval([a - b for a, b in zip(ours, theirs, strict=True)])
