"""Medians, percentiles and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from quorate.calibration.intervals import Interval

_RESAMPLES = 2000
_SEED = 1


def median_interval(values: Sequence[float]) -> Interval:
    """Median of repetitions, with a percentile bootstrap (Efron, 1979).

    Of two or three repetitions the interval is from the least to the greatest, and of one it is
    without bounds.

    Raises:
        ValueError: There are no values.
    """
    data = np.asarray(values, np.float64)
    if not len(data):
        raise ValueError("a median needs a value")
    middle = float(np.median(data))
    if len(data) == 1:
        return Interval(middle, -math.inf, math.inf)
    if len(data) <= 3 or np.ptp(data) == 0:
        return Interval(middle, float(data.min()), float(data.max()))
    found = stats.bootstrap(
        (data,), np.median, n_resamples=_RESAMPLES, method="percentile", rng=_SEED
    ).confidence_interval
    # Between equal values rounding may put an end past the median itself.
    return Interval(middle, min(middle, float(found.low)), max(middle, float(found.high)))


def ratio_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Ratio of two medians, each resampled by itself: two runs have no pairs.

    Raises:
        ValueError: One side has no values, or a median of 0.
    """
    one, other = median_interval(ours), median_interval(theirs)
    if not other.value:
        raise ValueError("a ratio needs something to be held against")
    if len(ours) <= 3 or len(theirs) <= 3:
        low = one.low / other.high if math.isfinite(other.high) else 0.0
        high = one.high / other.low if 0 < other.low < math.inf else math.inf
        return Interval(one.value / other.value, max(low, 0.0), high)
    rng = np.random.default_rng(_SEED)
    drawn = [
        np.median(rng.choice(np.asarray(side, np.float64), (_RESAMPLES, len(side))), axis=1)
        for side in (ours, theirs)
    ]
    low, high = np.percentile(drawn[0] / drawn[1], (2.5, 97.5))
    return Interval(one.value / other.value, float(low), float(high))


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """50th, 90th and 99th; linear between values.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("percentiles need a value")
    low, high, highest = np.percentile(np.asarray(values, np.float64), (50, 90, 99))
    return float(low), float(high), float(highest)
