"""When did the machine change? Finds lasting shifts among noise."""

from __future__ import annotations

from quorate.costs.saved import Json, Table, number

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
        """Goes on from a saved state.

        Raises:
            ValueError: The state is not one of a detector.
        """
        self._centre = number(state, "centre", -1e3, 1e3)
        self._spread = number(state, "spread", 0.0, 1e3)


def _summed(total: float, length: int, deviation: float) -> tuple[float, int]:
    total += deviation - _SLACK
    return (total, length + 1) if total > 0 else (0.0, 0)
