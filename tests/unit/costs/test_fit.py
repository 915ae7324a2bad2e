from __future__ import annotations

import pytest

from quorate.costs.fit import TrackedFit
from quorate.costs.residuals import UNTRIED_RATIO, Ratios

PRIOR = (20.0, 1.0)
FEATURES = (1.0, 100.0)


def settled() -> TrackedFit:
    fit = TrackedFit(PRIOR)
    for _ in range(60):
        fit.observe(FEATURES, 240.0)
    return fit


def test_what_never_varies_has_narrow_errors() -> None:
    fit = settled()
    assert fit.samples == 60
    assert fit.predict(FEATURES) == pytest.approx(240.0)
    assert fit.ratios().upper == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_after_a_change_it_predicts_the_new_level_and_knows_nothing_of_its_errors(
    factor: float,
) -> None:
    fit = settled()
    runs = 0
    while fit.ratios() != Ratios(1.0, UNTRIED_RATIO):
        fit.observe(FEATURES, factor * 240.0)
        runs += 1
        assert runs < 10
    assert fit.predict(FEATURES) == pytest.approx(factor * 240.0, rel=0.05)
    assert fit.predict((1.0, 5000.0)) / fit.predict((1.0, 10.0)) > 50


def test_the_first_observation_is_compared_with_nothing() -> None:
    fit = TrackedFit(PRIOR)
    fit.observe(FEATURES, 1e9)
    assert fit.ratios() == Ratios(1.0, UNTRIED_RATIO)


def test_what_is_learned_beside_is_no_sample() -> None:
    fit = settled()
    before = fit.ratios()
    fit.learn((1.0, 0.0), 1.0)
    assert fit.samples == 60
    assert fit.ratios() == before
    assert fit.coefficients()[0] < settled().coefficients()[0]


def test_a_prediction_of_nothing_is_off_by_a_bounded_ratio() -> None:
    fit = TrackedFit((1e-12, 1.0))
    fit.observe((1.0, 1.0), 1.0)
    fit.observe((1.0, 0.0), 1.0)
    assert fit.ratios().upper == 1e6
