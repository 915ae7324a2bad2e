"""What labelled answers tell of votes: how often they are right, and how sure they should be. Pure.

Confidence is a logistic curve over some signals, or with many labelled answers a curve by isotonic
regression over their weighted sum, which bends where the truth does (Niculescu-Mizil and Caruana,
Predicting good probabilities with supervised learning, 2005). With the margin between the two most
probable tokens as the one signal that is UCCI's (arXiv 2605.18796). Which it is decide cases that
were held out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from quorate.calibration.folds import split
from quorate.calibration.isotonic import fit_isotonic
from quorate.calibration.logistic import Matrix, fit_logistic
from quorate.calibration.scores import ConfidenceScores, case_losses, score_confidences
from quorate.routing.confidence import Calibration, ConfidenceTable, Signals
from quorate.routing.quality import Tally

LEAST_CASES = 20
"""Labelled answers below which no confidence is fitted."""

LEAST_CASES_OF_ALL_SIGNALS = 60
"""Labelled answers below which the mean log-prob is the only signal that may count."""

LEAST_CASES_OF_ISOTONIC = 200
"""Labelled answers below which no curve is fitted by isotonic regression."""

LEAST_OF_EACH = 5
"""Right answers, and wrong ones, below which no signal may count."""

_NAMES = tuple(one.name for one in fields(Signals))
_ALL = tuple(range(len(_NAMES)))
_PLATT = (_NAMES.index("mean_logprob"),)
_MARGIN = (_NAMES.index("margin"),)


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """One answer of one vote, and whether it was right.

    Attributes:
        case: Name of the question; the same for all votes that were asked it.
        task: Tag of the question, or "".
        signals: What the answer tells of itself; None where there was no answer.
        group: Questions of one group are never trained on and held out at once.
    """

    case: str
    task: str
    right: bool
    signals: Signals | None
    group: str


@dataclass(frozen=True, slots=True)
class FittedConfidence:
    """A curve from signals to confidence, and what it is worth.

    Attributes:
        calibration: Fitted to all cases; None where the uncalibrated one is better, or where there
            are too few cases to tell.
        manner: ``all signals``, ``mean log-prob``, ``margin``, these with ``, isotonic``,
            ``share of right answers`` or ``none``.
        held_out: Confidence of each case, given by a curve of the same manner that was fitted
            without it; uncalibrated where there is none.
        before: Scores of the uncalibrated confidence.
        after: Scores of ``held_out``.
    """

    calibration: Calibration | None
    manner: str
    held_out: tuple[float, ...]
    before: ConfidenceScores
    after: ConfidenceScores


def tally(answers: Sequence[LabelledAnswer]) -> dict[str, Tally]:
    """Right answers and cases of one vote by task; "" is all of them."""
    tallies: dict[str, Tally] = {}
    for task in ("", *sorted({answer.task for answer in answers} - {""})):
        right = [answer.right for answer in answers if not task or answer.task == task]
        tallies[task] = Tally(float(sum(right)), float(len(right)))
    return tallies


def fit_confidence(answers: Sequence[LabelledAnswer]) -> FittedConfidence | None:
    """Fits the confidence of one vote.

    All signals, the mean log-prob or the margin alone (Platt's method), these by isotonic
    regression, the mere share of right answers, and the uncalibrated confidence are compared by the
    log loss on held-out cases; the best is kept.

    Args:
        answers: Of one vote; those without signals are left out.

    Returns:
        The best curve, or None where there is no answer with signals.
    """
    told = [answer for answer in answers if answer.signals is not None]
    if not told:
        return None
    signals = [answer.signals for answer in told if answer.signals]
    rows = np.array([one.vector() for one in signals], np.float64)
    right = [answer.right for answer in told]
    truth = np.array(right, np.float64)
    plain = [ConfidenceTable().confidence("", "", one) for one in signals]
    before = score_confidences(plain, right)
    best = FittedConfidence(None, "none", tuple(plain), before, before)
    masks = split([answer.group for answer in told])
    if len(told) < LEAST_CASES or not masks:
        return best
    loss = math.fsum(case_losses(plain, right))
    for manner, columns, isotonic in _manners(right):
        stated = np.empty(len(told))
        for mask in masks:
            curve = _fit(rows[~mask], truth[~mask], columns, isotonic)
            stated[mask] = [curve.confidence(Signals(*row)) for row in rows[mask]]
        held_out = tuple(map(float, stated))
        reached = math.fsum(case_losses(held_out, right))
        if reached < loss:
            loss = reached
            fitted = _fit(rows, truth, columns, isotonic)
            after = score_confidences(held_out, right)
            best = FittedConfidence(fitted, manner, held_out, before, after)
    return best


def fit_tasks(answers: Sequence[LabelledAnswer]) -> dict[str, FittedConfidence]:
    """Fits the confidence of one vote for all tasks, "", and for each that has enough cases.

    A task gets a curve of its own only where that beats, on held-out cases, the curve for all.
    """
    whole = fit_confidence(answers)
    if whole is None:
        return {}
    told = [answer for answer in answers if answer.signals is not None]
    fitted = {"": whole}
    for task in sorted({answer.task for answer in told} - {""}):
        own = [index for index, answer in enumerate(told) if answer.task == task]
        if len(own) == len(told):
            continue
        one = fit_confidence([told[index] for index in own])
        shared = [whole.held_out[index] for index in own]
        right = [told[index].right for index in own]
        if (
            one is not None
            and one.calibration is not None
            and one.after.log_loss < score_confidences(shared, right).log_loss
        ):
            fitted[task] = one
    return fitted


def held_out_confidences(
    answers: Sequence[LabelledAnswer], fitted: dict[str, FittedConfidence]
) -> dict[str, float]:
    """Confidence of each case by its name, given by a curve that never saw it.

    ``fitted`` is what ``fit_tasks`` returned for these answers of one vote.
    """
    told = [answer for answer in answers if answer.signals is not None]
    stated: dict[str, float] = {}
    for task in sorted(fitted):
        own = [answer for answer in told if not task or answer.task == task]
        for answer, confidence in zip(own, fitted[task].held_out, strict=True):
            stated[answer.case] = confidence
    return stated


def _fit(rows: Matrix, right: Matrix, columns: tuple[int, ...], isotonic: bool) -> Calibration:
    fitted = fit_logistic(rows, right, columns)
    if not isotonic:
        return fitted
    scores = np.array([fitted.score(Signals(*row)) for row in rows])
    return replace(fitted, curve=fit_isotonic(scores, right))


def _manners(right: Sequence[bool]) -> list[tuple[str, tuple[int, ...], bool]]:
    """From the plainest to the richest that the cases can bear: by columns, isotonic or not."""
    manners: list[tuple[str, tuple[int, ...], bool]] = [("share of right answers", (), False)]
    if min(sum(right), len(right) - sum(right)) < LEAST_OF_EACH:
        return manners
    signals: dict[str, tuple[int, ...]] = {"mean log-prob": _PLATT, "margin": _MARGIN}
    if len(right) >= LEAST_CASES_OF_ALL_SIGNALS:
        signals["all signals"] = _ALL
    manners += [(name, columns, False) for name, columns in signals.items()]
    if len(right) >= LEAST_CASES_OF_ISOTONIC:
        manners += [(f"{name}, isotonic", columns, True) for name, columns in signals.items()]
    return manners
