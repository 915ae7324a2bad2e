"""Members' weights as shares of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate.errors import InvalidRequest


def share_weights(weights: Sequence[float | None]) -> tuple[float, ...]:
    """Normalises weights to shares that sum to 1; None counts as 1.

    Raises:
        InvalidRequest: A weight that is negative, not finite, or all of them zero.
    """
    for index, weight in enumerate(weights):
        if weight is not None and not (math.isfinite(weight) and weight >= 0):
            raise InvalidRequest(
                f"plan.ensemble.members[{index}].weight",
                f"is {weight}; give a finite number that is not negative",
            )
    given = [1.0 if weight is None else float(weight) for weight in weights]
    largest = max(given, default=0.0)
    if largest == 0:
        raise InvalidRequest("plan.ensemble.members", "all weights are 0; raise at least one")
    scaled = [weight / largest for weight in given]
    total = math.fsum(scaled)
    return tuple(weight / total for weight in scaled)
