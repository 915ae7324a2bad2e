"""Isotonic regression. Pure; numpy only."""

from __future__ import annotations

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
    targets = smoothed(right)
    counts = np.bincount(place).astype(np.float64)
    # Steps so far: cases, sum of their targets, sum of their scores.
    steps: list[tuple[float, float, float]] = []
    sums = np.bincount(place, targets)
    for count, total, score in zip(counts, sums, known, strict=True):
        step = (float(count), float(total), float(score * count))
        while steps and not _rises(steps[-1], step):
            last = steps.pop()
            step = (last[0] + step[0], last[1] + step[1], last[2] + step[2])
        steps.append(step)
    return tuple((score / count, total / count) for count, total, score in steps)


def _rises(last: tuple[float, float, float], step: tuple[float, float, float]) -> bool:
    """Whether the share rises from one step to the next, and the score as far as floats tell."""
    return last[1] * step[0] < step[1] * last[0] and last[2] / last[0] < step[2] / step[0]
