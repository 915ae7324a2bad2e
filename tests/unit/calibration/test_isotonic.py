from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.isotonic import fit_isotonic
from quorate.calibration.logistic import smoothed
from quorate.routing.confidence import Calibration, Signals

ANSWERS = st.lists(st.tuples(st.integers(-3, 3).map(float), st.booleans()), min_size=1, max_size=24)


def best_of(scores: list[float], targets: np.ndarray) -> dict[float, float]:
    """The monotone least-squares fit by its definition: the max of mins of all means."""
    known = sorted(set(scores))
    cases = [[t for s, t in zip(scores, targets, strict=True) if s == one] for one in known]

    def mean(first: int, last: int) -> float:
        return float(np.mean([t for some in cases[first : last + 1] for t in some]))

    places = range(len(known))
    return {
        score: max(min(mean(a, b) for b in places[at:]) for a in places[: at + 1])
        for at, score in enumerate(known)
    }


def read(curve: tuple[tuple[float, float], ...], score: float) -> float:
    """What a curve says where the only signal is the mean log-prob."""
    fitted = Calibration((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.0, curve=curve)
    return fitted.confidence(Signals(mean_logprob=score))


@given(ANSWERS)
def test_the_steps_are_those_of_the_monotone_fit_with_least_squares(
    answers: list[tuple[float, bool]],
) -> None:
    scores = [score for score, _ in answers]
    right = np.array([float(one) for _, one in answers])
    targets = smoothed(right)
    expected = best_of(scores, targets)
    curve = fit_isotonic(np.array(scores), right)
    assert sorted({round(share, 9) for _, share in curve}) == sorted(
        {round(share, 9) for share in expected.values()}
    )
    told = [read(curve, score) for score in np.linspace(-4, 4, 33)]
    assert all(0 < one < 1 for one in told) and np.diff(told).min() > -1e-12
    # The mean over all cases stays: nothing is drawn up or down.
    steps = [expected[score] for score in scores]
    assert np.mean(steps) == pytest.approx(np.mean(targets))


def test_between_steps_it_is_linear_and_beyond_them_level() -> None:
    curve = ((-1.0, 0.2), (1.0, 0.6), (2.0, 0.9))
    assert [read(curve, score) for score in (-5, -1, 0, 1, 1.5, 2, 9)] == pytest.approx(
        [0.2, 0.2, 0.4, 0.6, 0.75, 0.9, 0.9]
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_a_curve_rises_also_where_scores_are_a_rounding_apart(
    answers: list[tuple[int, bool]],
) -> None:
    scores = [1.1]
    for _ in range(6):
        scores.append(float(np.nextafter(scores[-1], 9)))
    known = np.array([scores[at] for at, _ in answers])
    curve = fit_isotonic(known, np.array([float(right) for _, right in answers]))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(curve))
