"""Logistic regression with an L2 penalty. Pure; numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quorate.routing.confidence import Calibration

_PENALTY = 1.0
_MAX_STEPS = 50
_HALVINGS = 20
_SMALL_STEP = 1e-9

Matrix = npt.NDArray[np.float64]


def fit_logistic(rows: Matrix, right: Matrix, columns: tuple[int, ...]) -> Calibration:
    """Fits the log-odds of being right as a linear function of some columns.

    The columns are standardised first, so that one penalty suits all of them, and the result is
    told in their own units. The penalty is that of a normal prior with variance 1 on each
    standardised weight; the bias has none. Solved by Newton's method (iteratively reweighted least
    squares; Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 4.4).

    Args:
        rows: Signals, of shape (cases, signals).
        right: 1 where an answer was right, else 0; of shape (cases,).
        columns: The columns that may count; the others get the weight 0. None at all gives the
            share of right answers, whatever the signals.

    Returns:
        Weights for every column of ``rows``.
    """
    chosen = rows[:, list(columns)]
    mean, deviation = chosen.mean(axis=0), chosen.std(axis=0)
    # A column that never changes keeps its unit.
    deviation[deviation < 1e-12 * (1.0 + np.abs(mean))] = 1.0
    design = np.column_stack([np.ones(len(rows)), (chosen - mean) / deviation])
    solved = _newton(design, smoothed(right))
    weights = np.zeros(rows.shape[1])
    weights[list(columns)] = solved[1:] / deviation
    bias = solved[0] - float(np.sum(solved[1:] * mean / deviation))
    return Calibration(tuple(map(float, weights)), float(bias), len(rows))


def smoothed(right: Matrix) -> Matrix:
    """Platt's targets, which keep the odds finite where all answers were right or all wrong."""
    positive = float(right.sum())
    negative = len(right) - positive
    return np.where(right > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))


def _newton(design: Matrix, targets: Matrix) -> Matrix:
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[0] = 0.0
    weights = np.zeros(design.shape[1])
    loss = _loss(design, targets, weights, penalty)
    for _ in range(_MAX_STEPS):
        shares = _sigmoid(design @ weights)
        gradient = design.T @ (shares - targets) + penalty * weights
        curvature = (design.T * (shares * (1.0 - shares))) @ design + np.diag(penalty)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        if np.abs(step).max() < _SMALL_STEP:
            break
        for _ in range(_HALVINGS):
            moved = _loss(design, targets, weights - step, penalty)
            if moved <= loss:
                break
            step = step / 2.0
        else:
            break
        weights, loss = weights - step, moved
    return weights


def _loss(design: Matrix, targets: Matrix, weights: Matrix, penalty: Matrix) -> float:
    odds = design @ weights
    return float(np.sum(np.logaddexp(0.0, odds) - targets * odds) + penalty @ weights**2 / 2)


def _sigmoid(odds: Matrix) -> Matrix:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0)))
