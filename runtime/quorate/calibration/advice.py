"""What a calibration suggests: the threshold of a cascade, and the weights of a vote. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quorate.calibration.folds import split
from quorate.calibration.intervals import Interval, difference_interval
from quorate.routing.quality import Tally

ALLOWED_LOSS = 0.01
"""Share of right answers that a cascade may lose against its last stage alone."""

LEAST_CASES = 20
"""Labelled cases below which no threshold is suggested."""


@dataclass(frozen=True, slots=True)
class CascadeCase:
    """One case that both stages answered.

    Attributes:
        confidence: Of the first stage, given by a curve that never saw the case.
        group: Cases of one group are never trained on and held out at once.
    """

    confidence: float
    first_right: bool
    last_right: bool
    group: str


@dataclass(frozen=True, slots=True)
class CascadeAdvice:
    """The threshold that costs least, and what it leads to.

    Attributes:
        confidence: From here on the first stage's answer is kept.
        kept: Share of the cases that it keeps.
        accuracy: Share of right answers.
        cost: Mean cost of a case, in the unit of the stages' costs.
        held_out_accuracy: The same where each case was tested by a threshold chosen without it.
        held_out_cost: Likewise.
        difference: ``held_out_accuracy`` less that of the last stage alone.
        last_accuracy: Share of right answers of the last stage alone.
        last_cost: Its cost.
        cases: Cases it rests on.
    """

    confidence: float
    kept: float
    accuracy: float
    cost: float
    held_out_accuracy: float
    held_out_cost: float
    difference: Interval
    last_accuracy: float
    last_cost: float
    cases: int

    @property
    def pays(self) -> bool:
        """Whether, on cases that did not choose the threshold, it is cheaper and good enough."""
        cheaper = self.held_out_cost < self.last_cost
        return cheaper and self.held_out_accuracy >= self.last_accuracy - ALLOWED_LOSS


def advise_cascade(
    cases: Sequence[CascadeCase], first_cost: float, last_cost: float
) -> CascadeAdvice | None:
    """Finds the lowest threshold whose accuracy is within ``ALLOWED_LOSS`` of the last stage's.

    The lowest one costs least, since it keeps most answers of the first stage.

    Args:
        cases: That both stages answered.
        first_cost: Of a case in the first stage, such as joules.
        last_cost: Of a case in the last stage, in the same unit.

    Returns:
        None where there are too few cases.
    """
    masks = split([case.group for case in cases])
    if len(cases) < LEAST_CASES or not masks:
        return None
    stated = np.array([case.confidence for case in cases])
    first = np.array([case.first_right for case in cases], np.float64)
    last = np.array([case.last_right for case in cases], np.float64)
    threshold = _lowest(stated, first, last)
    kept = stated >= threshold
    held_out = np.empty(len(cases), bool)
    for mask in masks:
        held_out[mask] = stated[mask] >= _lowest(stated[~mask], first[~mask], last[~mask])
    reached = np.where(held_out, first, last)
    return CascadeAdvice(
        confidence=threshold,
        kept=float(kept.mean()),
        accuracy=float(np.where(kept, first, last).mean()),
        cost=first_cost + float((~kept).mean()) * last_cost,
        held_out_accuracy=float(reached.mean()),
        held_out_cost=first_cost + float((~held_out).mean()) * last_cost,
        difference=difference_interval(list(reached), list(last)),
        last_accuracy=float(last.mean()),
        last_cost=last_cost,
        cases=len(cases),
    )


def suggest_weights(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """Weights by model that sum to 1, in proportion to each one's odds of being right alone.

    That is a softmax of the log-odds, which are the best weights for a vote of independent members
    on a question with two answers (Nitzan and Paroush, Optimal decision rules in uncertain
    dichotomous choice situations, 1982). Members that vote on tokens are not of that kind, so that
    the result is a place to start from: what it is worth shows when the ensemble with these weights
    is calibrated itself. Half a case is added to both sides, which keeps the odds finite.
    """
    odds = {
        model: (counted.right + 0.5) / (counted.cases - counted.right + 0.5)
        for model, counted in tallies.items()
    }
    total = sum(odds.values())
    return {model: value / total for model, value in odds.items()}


def _lowest(
    stated: npt.NDArray[np.float64], first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]
) -> float:
    """Lowest threshold that loses no more than allowed; 1, which keeps next to nothing, else.

    Cases are walked through from the surest on; a threshold lies half way between two confidences,
    so that rounding does not move a case across it.
    """
    order = np.argsort(-stated, kind="stable")
    sorted_stated = stated[order]
    lost = np.cumsum(last[order] - first[order]) / len(stated)
    best = 1.0
    for index, value in enumerate(sorted_stated):
        following = sorted_stated[index + 1] if index + 1 < len(stated) else 0.0
        if value > following and lost[index] <= ALLOWED_LOSS:
            middle = float((value + following) / 2)
            best = middle if middle > following else float(value)
    return best
