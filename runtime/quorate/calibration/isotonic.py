"""Isotonic regression. Pure; numpy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quorate.calibration.logistic import Matrix, smoothed


def fit_isotonic(scores: Matrix, right: Matrix) -> tuple[tuple[float, float], ...]:
    """Fits the share of right answers as a function that never falls as the score rises.

    By pooling adjacent violators (Ayer et al., An empirical distribution function for sampling with
    incomplete information, 1955), on Platt's targets, so that no share is 0 or 1. Between the
    middles of its steps it is linear: a staircase would rank many answers alike.

    Args:
        scores: Of shape (cases,), at least one.
        right: 1 where an answer was right, else 0; of the same shape.

    Returns:
        Scores and shares, both rising; the share stays what it is beyond either end.
    """
    known, place = np.unique(scores, return_inverse=True)
    # Counts are whole numbers, so that what is equal is pooled whatever rounding says.
    cases = np.bincount(place).tolist()
    rights = np.bincount(place, right).astype(int).tolist()
    steps: list[_Step] = []
    for count, good, score in zip(cases, rights, known.tolist(), strict=True):
        step = _Step(count, good, score, score)
        while steps and steps[-1].right * step.cases >= step.right * steps[-1].cases:
            step = steps.pop().with_next(step)
        steps.append(step)
    targets = smoothed(right)
    lowest, highest = targets.min(), targets.max()
    return tuple(
        (step.middle, float(lowest + (highest - lowest) * step.right / step.cases))
        for step in steps
    )


class _Step(NamedTuple):
    """Scores that are told one share: how many cases, how many of them right, first and last."""

    cases: int
    right: int
    first: float
    last: float

    @property
    def middle(self) -> float:
        return self.first + (self.last - self.first) / 2

    def with_next(self, step: _Step) -> _Step:
        return _Step(self.cases + step.cases, self.right + step.right, self.first, step.last)
