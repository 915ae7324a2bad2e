"""How good stated confidences are, given which answers were right. Pure; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BINS = 10
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class ConfidenceScores:
    """Three views of the same confidences; less is better in each.

    Attributes:
        brier: Mean squared difference from 1 or 0 (Brier, 1950).
        log_loss: Mean negative log of what was given to what happened, in nats.
        calibration_error: Expected calibration error: the mean distance between confidence and
            share of right answers over ten bins of equal width, weighted by their cases (Naeini,
            Cooper and Hauskrecht, 2015).
    """

    brier: float
    log_loss: float
    calibration_error: float


def score_confidences(confidences: Sequence[float], right: Sequence[bool]) -> ConfidenceScores:
    """Scores confidences in [0, 1]; there must be at least one."""
    stated = np.asarray(confidences, np.float64)
    truth = np.asarray(right, np.float64)
    return ConfidenceScores(
        brier=float(np.mean((stated - truth) ** 2)),
        log_loss=float(np.mean(case_losses(confidences, right))),
        calibration_error=_calibration_error(stated, truth),
    )


def case_losses(confidences: Sequence[float], right: Sequence[bool]) -> list[float]:
    """Negative log of what was given to what happened, case by case, in nats."""
    stated = np.clip(np.asarray(confidences, np.float64), _LEAST_SHARE, 1 - _LEAST_SHARE)
    truth = np.asarray(right, bool)
    return [float(loss) for loss in -np.log(np.where(truth, stated, 1.0 - stated))]


def _calibration_error(stated: np.ndarray, truth: np.ndarray) -> float:
    bins = np.minimum((stated * _BINS).astype(int), _BINS - 1)
    total = 0.0
    for number in range(_BINS):
        inside = bins == number
        if inside.any():
            total += abs(float(stated[inside].sum() - truth[inside].sum()))
    return total / len(stated)
