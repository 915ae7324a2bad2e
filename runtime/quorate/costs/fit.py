"""A cost that is learned: what it will be, how far off that may be, and when it changed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from quorate.costs.regression import RelativeRegression
from quorate.costs.residuals import ChangeDetector, Ratios, RatioWindow
from quorate.costs.saved import Json, Table, count, table

# After a change the old proportions still help, about as much as one observation would.
_KEPT_AFTER_CHANGE = 0.02
_LARGEST_RATIO = 1e6


class TrackedFit:
    """A regression, the quantiles of its errors, and a detector of changes.

    What slows a machine down (heat, a neighbour, another power limit) slows most of its work down
    alike. So after a change the coefficients are multiplied by the median ratio since then, their
    proportions kept with less weight, and the old errors forgotten.

    Args:
        prior: Proportions of the coefficients, each above zero.
    """

    def __init__(self, prior: Sequence[float]) -> None:
        self._regression = RelativeRegression(prior)
        self._ratios = RatioWindow()
        self._change = ChangeDetector()
        self._samples = 0

    @property
    def samples(self) -> int:
        """Observations so far."""
        return self._samples

    def coefficients(self) -> tuple[float, ...]:
        """Of the regression, without the correction by the median ratio."""
        return self._regression.coefficients()

    def ratios(self) -> Ratios:
        """Quantiles of actual / predicted."""
        return self._ratios.quantiles()

    def predict(self, features: Sequence[float]) -> float:
        """Expected, without the correction by the median ratio."""
        return self._regression.predict(features)

    def observe(self, features: Sequence[float], actual: float) -> None:
        """Compares one observation with its prediction and learns it.

        Args:
            features: Finite, none negative, not all zero.
            actual: Finite and above zero.
        """
        if self._samples:
            self._compare(actual, self._regression.predict(features))
        self._regression.observe(features, actual)
        self._samples += 1

    def learn(self, features: Sequence[float], actual: float) -> None:
        """Learns one more fact of the last observation, which is not compared."""
        self._regression.observe(features, actual)

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {
            "samples": self._samples,
            "regression": self._regression.state(),
            "residuals": self._ratios.state(),
            "change": self._change.state(),
        }

    def restore(self, state: Table) -> None:
        """Goes on from a saved state."""
        self._samples = count(state, "samples")
        self._regression.restore(table(state, "regression"))
        self._ratios.restore(table(state, "residuals"))
        self._change.restore(table(state, "change"))

    def _compare(self, actual: float, predicted: float) -> None:
        ratio = actual / predicted if predicted * _LARGEST_RATIO > actual else _LARGEST_RATIO
        ratio = max(ratio, 1 / _LARGEST_RATIO)
        self._ratios.observe(ratio)
        since = self._change.observe(math.log(ratio))
        if since:
            factor = statistics.median(self._ratios.latest(since))
            self._regression.rescale(factor, _KEPT_AFTER_CHANGE)
            self._ratios.clear()
