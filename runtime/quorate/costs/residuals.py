"""How far predictions were off lately, and whether what they predict has changed for good."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from quorate.costs.saved import Json, Table, number, numbers

UPPER = 0.9
"""The quantile that stands for "it will not take longer"."""

UNTRIED_RATIO = 3.0
"""The upper ratio before enough was seen to know one."""

_WINDOW = 128
_DECAY = 0.985
_WEIGHTS = tuple(_DECAY**age for age in range(_WINDOW))
_SMOOTHING = 0.05
_FIRST_SPREAD = 0.5
# Steadier machines than this have no shifts worth starting over for.
_LEAST_SPREAD = 0.1
# In spreads: a lone outlier counts at most so much, a smaller shift does not count, and so much
# together is a change. A million simulated values of one normal, exponential or Student's t
# distribution raise no alarm.
_LARGEST = 4.0
_SLACK = 1.0
_ALARM = 10.0


@dataclass(frozen=True, slots=True)
class Ratios:
    """Quantiles of actual / predicted.

    Attributes:
        median: Corrects the prediction.
        upper: What nine of ten stay below; never less than the median.
    """

    median: float = 1.0
    upper: float = UNTRIED_RATIO


class RatioWindow:
    """The last 128 ratios of actual to predicted, the older ones with less weight.

    Both quantiles are of the ratios with one more of weight 1, which stands for the one to come.
    For the upper quantile that one is infinite (Barber, Candès, Ramdas, Tibshirani, Conformal
    prediction beyond exchangeability, Annals of Statistics 51, 2023), so that nine of ten really
    stay below, and with fewer than nine ratios there is no upper quantile: then it is
    ``UNTRIED_RATIO``, or the largest seen where that is more. For the median it is 1, the
    prediction as it stands.
    """

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=_WINDOW)

    def observe(self, ratio: float) -> None:
        """Notes the ratio of one prediction, finite and above zero."""
        self._ratios.append(ratio)

    def latest(self, count: int) -> list[float]:
        """The last ``count`` ratios, or as many as there are."""
        return list(self._ratios)[-count:]

    def clear(self) -> None:
        """Forgets all of them: they say nothing of the predictions to come."""
        self._ratios.clear()

    def quantiles(self) -> Ratios:
        """The quantiles now."""
        weighted = sorted(zip(reversed(self._ratios), _WEIGHTS, strict=False))
        total = 1.0 + sum(weight for _, weight in weighted)
        median = _quantile(sorted([*weighted, (1.0, 1.0)]), 0.5 * total)
        upper = _quantile(weighted, UPPER * total)
        if median is None:
            median = 1.0
        if upper is None:
            largest = weighted[-1][0] if weighted else 0.0
            upper = max(UNTRIED_RATIO, largest)
        return Ratios(median, max(upper, median))

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {"ratios": list(self._ratios)}

    def restore(self, state: Table) -> None:
        """Goes on from a saved state."""
        self._ratios = deque(
            numbers(state, "ratios", _WINDOW, lowest=1e-100, highest=1e100), maxlen=_WINDOW
        )


def _quantile(weighted: list[tuple[float, float]], mass: float) -> float | None:
    """The least value with at least this mass up to it; None where there is less in all."""
    passed = 0.0
    for value, weight in weighted:
        passed += weight
        if passed >= mass:
            return value
    return None


class ChangeDetector:
    """Two-sided cumulative sums of deviations (Page, Continuous inspection schemes, 1954).

    The sums are of deviations from a slow mean, in units of a slow mean deviation, clipped so that
    one outlier is no change. A sum that was zero last before ``n`` observations dates the change.
    """

    def __init__(self) -> None:
        self._centre = 0.0
        self._spread = _FIRST_SPREAD
        self._rise = self._fall = 0.0
        self._rising = self._falling = 0

    def observe(self, value: float) -> int:
        """Takes the next value.

        Returns:
            How many values, this one included, came since the change that is now certain; 0 where
            there is none. After a change the detector starts over, around zero.
        """
        spread = max(self._spread, _LEAST_SPREAD)
        deviation = max(-_LARGEST, min(_LARGEST, (value - self._centre) / spread))
        self._rise, self._rising = _summed(self._rise, self._rising, deviation)
        self._fall, self._falling = _summed(self._fall, self._falling, -deviation)
        if max(self._rise, self._fall) > _ALARM:
            since = self._rising if self._rise > self._fall else self._falling
            self._centre = 0.0
            self._rise = self._fall = 0.0
            self._rising = self._falling = 0
            return since
        self._centre += _SMOOTHING * deviation * spread
        # The mean deviation of normal noise is 0.8 of its standard deviation.
        self._spread += _SMOOTHING * (1.25 * abs(deviation) * spread - self._spread)
        return 0

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes. Sums that are under way are left out: a restart is a change."""
        return {"centre": self._centre, "spread": self._spread}

    def restore(self, state: Table) -> None:
        """Goes on from a saved state."""
        self._centre = number(state, "centre", -1e3, 1e3)
        self._spread = number(state, "spread", 0.0, 1e3)


def _summed(total: float, length: int, deviation: float) -> tuple[float, int]:
    total += deviation - _SLACK
    return (total, length + 1) if total > 0 else (0.0, 0)
