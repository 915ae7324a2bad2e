"""Linear costs learned from a stream of observations, by relative error, none negative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quorate.costs.saved import Json, Table, number, numbers

FORGETTING = 0.94
"""Share of what was known in the direction of an observation that outlives it. Since no other
direction is forgotten, five coefficients remember some eighty observations of mixed shapes."""

PRIOR_WEIGHT = 0.02
"""What the prior counts, in observations, for each coefficient."""

# By relative error an observation n times too fast weighs n² times one as expected; more than this
# squared would let a defect of one measurement stand for the machine.
_LONGEST_ROW = 4.0
_NOTHING_KNOWN = 1e-9
_GRADIENT_TOLERANCE = 1e-12


class RelativeRegression:
    """Recursive least squares with forgetting, on relative error, without negative coefficients.

    Minimises the sum of (prediction / actual - 1)² over past observations, so that a request of
    50 ms counts as much as one of 50 s. Sums of squares and products are kept, not their inverse,
    and solved when asked.

    An observation forgets only in its own direction: of the information R, it takes away
    (1 - forgetting) R z z'R / z'Rz before it adds its own z z' (Cao and Schwartz, A directional
    forgetting algorithm based on the decomposition of the information matrix, Automatica 36, 2000).
    A thousand requests of one shape therefore leave what is known of other shapes, where plain
    forgetting would lose it and then take noise for knowledge (wind-up). The prior is added to R
    for every solution and never fades: it bounds the information from below.

    The unit of a coefficient is its prior, and the prior is only a proportion: its scale is the
    one that fits best what is known, the first observation to begin with. So machines of any speed
    begin alike.

    Args:
        prior: Coefficients expected before anything was seen, each above zero.
        forgetting: In (0, 1].
        prior_weight: Of each prior coefficient, in observations.
    """

    def __init__(
        self,
        prior: Sequence[float],
        forgetting: float = FORGETTING,
        prior_weight: float = PRIOR_WEIGHT,
    ) -> None:
        size = len(prior)
        self._prior = np.array(prior, dtype=np.float64)
        self._forgetting = forgetting
        self._prior_weight = prior_weight
        self._scale = 1.0
        self._information: Floats = np.zeros((size, size))
        self._moment: Floats = np.zeros(size)
        self._solution: Floats | None = np.ones(size)

    def coefficients(self) -> tuple[float, ...]:
        """The coefficients now, none negative."""
        found = self._scale * self._prior * self._solved()
        return tuple(float(one) for one in found)

    def predict(self, features: Sequence[float]) -> float:
        """The target expected for as many features as the prior has coefficients."""
        return self._scale * float(np.dot(self._prior * features, self._solved()))

    def observe(self, features: Sequence[float], target: float) -> None:
        """Learns one observation.

        Args:
            features: Finite, none negative, not all zero.
            target: Finite and above zero.
        """
        parts = self._prior * features
        if not self._information.any():
            self._scale = target / float(parts.sum())
        row = self._scale / target * parts
        length = self._level() * math.sqrt(float(row @ row))
        weight = min(1.0, _LONGEST_ROW / length)
        row *= weight
        self._forget(row)
        self._information += np.outer(row, row)
        self._moment += weight * row
        self._solution = None

    def rescale(self, factor: float, kept: float) -> None:
        """Everything takes ``factor`` times what it took; proportions are kept, less surely.

        Args:
            factor: Above zero.
            kept: Share of the information that remains, in (0, 1].
        """
        self._scale *= factor
        self._information *= kept
        self._moment *= kept
        self._solution = None

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {
            "scale": self._scale,
            "information": self._information.ravel().tolist(),
            "moment": self._moment.tolist(),
        }

    def restore(self, state: Table) -> None:
        """Goes on from a saved state."""
        size = len(self._prior)
        scale = number(state, "scale", lowest=1e-100, highest=1e100)
        flat = numbers(state, "information", size * size, -1e100, 1e100)
        moment = numbers(state, "moment", size, -1e100, 1e100)
        if len(flat) != size * size or len(moment) != size:
            raise ValueError("information or moment is of another size")
        information = np.array(flat).reshape(size, size)
        if not np.array_equal(information, information.T):
            raise ValueError("information is not symmetric")
        largest = float(information.trace())
        if float(np.linalg.eigvalsh(information)[0]) < -1e-9 * max(1.0, largest):
            raise ValueError("information is negative")
        self._scale = scale
        self._information = information
        self._moment = np.array(moment)
        self._solution = None

    def _forget(self, row: Floats) -> None:
        known = self._information @ row
        along = float(row @ known)
        if along <= _NOTHING_KNOWN * float(row @ row) * float(self._information.trace()):
            return
        share = (1.0 - self._forgetting) / along
        self._information -= share * np.outer(known, known)
        self._moment -= share * float(row @ self._moment) * known

    def _solved(self) -> Floats:
        if self._solution is None:
            level = self._level()
            weight = self._prior_weight / level**2
            gram = self._information + weight * np.eye(len(self._prior))
            self._solution = solve_nonnegative(gram, self._moment + weight * level)
        return self._solution

    def _level(self) -> float:
        """The one number of priors that fits best what is known."""
        information, moment = float(self._information.sum()), float(self._moment.sum())
        return moment / information if information > 0 and moment > 0 else 1.0


Floats: TypeAlias = npt.NDArray[np.float64]


def solve_nonnegative(gram: Floats, moment: Floats) -> Floats:
    """Minimises x'Gx - 2h'x over x >= 0.

    The active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23) on
    the normal equations, as in Bro and de Jong (A fast non-negativity-constrained least squares
    algorithm, Journal of Chemometrics 11, 1997). Where the free solution has no negative
    coefficient, which is the usual case, it is the answer.

    Args:
        gram: G, shape (n, n), symmetric and positive definite.
        moment: h, shape (n,).

    Returns:
        x, shape (n,).
    """
    free: Floats = np.linalg.solve(gram, moment).astype(np.float64, copy=False)
    if (free >= 0).all():
        return free
    size = len(moment)
    tolerance = _GRADIENT_TOLERANCE * float(np.abs(moment).max())
    solution = np.zeros(size)
    used = np.zeros(size, dtype=bool)
    # Each round lowers the objective, so no set of used features comes twice.
    for _ in range(2**size):
        gradient = np.where(used, -np.inf, moment - gram @ solution)
        best = int(gradient.argmax())
        if gradient[best] <= tolerance:
            break
        used[best] = True
        solution = _within(gram, moment, solution, used)
    return solution


def _within(gram: Floats, moment: Floats, solution: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Goes towards the best solution of the used features; drops those that reach zero first."""
    while True:
        target = np.zeros(len(moment))
        target[used] = np.linalg.solve(gram[np.ix_(used, used)], moment[used])
        falling = used & (target <= 0)
        if not falling.any():
            return target
        steps = np.full(len(moment), np.inf)
        steps[falling] = solution[falling] / (solution[falling] - target[falling])
        first = int(steps.argmin())
        solution = np.maximum(solution + steps[first] * (target - solution), 0.0)
        used[first] = False
        solution[~used] = 0.0
