"""Least squares with coefficients that are never negative, for a handful of features."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

_TOLERANCE = 1e-12


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
    tolerance = _TOLERANCE * float(np.abs(moment).max())
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
        wanted = np.zeros(len(moment))
        wanted[used] = np.linalg.solve(gram[np.ix_(used, used)], moment[used])
        falling = used & (wanted <= 0)
        if not falling.any():
            return wanted
        steps = np.full(len(moment), np.inf)
        steps[falling] = solution[falling] / (solution[falling] - wanted[falling])
        first = int(steps.argmin())
        solution = np.maximum(solution + steps[first] * (wanted - solution), 0.0)
        used[first] = False
        solution[~used] = 0.0
