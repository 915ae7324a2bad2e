from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.costs.lengths import LengthLearner, LengthModel

answers = st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=200)


def learned(seen: list[tuple[int, bool]]) -> LengthLearner:
    learner = LengthLearner()
    for tokens, complete in seen:
        learner.observe(tokens, complete)
    return learner


def test_without_answers_all_are_as_long_as_the_cap() -> None:
    assert LengthModel().expected(700) == 700
    assert LengthModel().quantile(0.1, 700) == 700


def test_one_answer_halves_the_way_to_the_cap() -> None:
    model = learned([(100, True)]).model()
    # One answer against half of one that never ends.
    assert model.expected(400) == pytest.approx(100 + 300 / 3)
    assert model.quantile(0.9, 400) == 400
    assert model.quantile(0.5, 400) == 100


def test_the_upper_quantile_needs_about_ten_complete_answers() -> None:
    assert learned([(50, True)] * 8).model().quantile(0.9, 1000) == 1000
    assert learned([(50, True)] * 11).model().quantile(0.9, 1000) == 50


def test_a_short_cap_cuts_both() -> None:
    model = learned([(50, True)] * 40).model()
    assert model.expected(20) == 20
    assert model.quantile(0.9, 20) == 20


def test_answers_that_are_always_cut_off_say_only_that_they_are_longer() -> None:
    model = learned([(64, False)] * 100).model()
    assert model.quantile(0.5, 64) == 64
    assert model.quantile(0.1, 1000) == 1000
    assert model.expected(1000) == 1000


def test_an_answer_that_was_cut_off_counts_as_at_risk_at_its_length() -> None:
    # By hand, with weights of nearly one: of 20 answers, ten end at 10, five are cut off there,
    # and five end at 20. Half is longer than 10; of those whose end is known, all end at 20.
    seen = [(10, True)] * 10 + [(10, False)] * 5 + [(20, True)] * 5
    model = learned(seen).model()
    assert model.quantile(0.4, 100) == 10
    assert model.quantile(0.85, 100) == 20
    assert model.expected(20) == pytest.approx(15, abs=0.6)


def test_censoring_is_undone() -> None:
    """Simulated: lengths are exponential with mean 200; half the requests have a cap of 150."""
    random = np.random.default_rng(1)
    quantiles, means = [], []
    for _ in range(40):
        learner = LengthLearner()
        for step in range(128):
            length = float(random.exponential(200))
            cap = 150.0 if step % 2 else 2000.0
            learner.observe(min(length, cap), length <= cap)
        quantiles.append(learner.model().quantile(0.75, 2000))
        means.append(learner.model().expected(150))
    assert np.median(quantiles) == pytest.approx(200 * math.log(4), rel=0.1)
    assert np.mean(means) == pytest.approx(200 * (1 - math.exp(-150 / 200)), rel=0.05)


def test_nine_of_ten_answers_do_not_exceed_the_upper_quantile() -> None:
    random = np.random.default_rng(2)
    learner = LengthLearner()
    covered = []
    for step in range(2000):
        length = float(round(random.lognormal(4 + step / 1000, 0.7)))
        covered.append(length <= learner.model().quantile(0.9, 1e6))
        learner.observe(length, complete=True)
    assert 0.85 <= np.mean(covered[20:]) <= 0.95


def test_the_latest_answers_count_most() -> None:
    model = learned([(1000, True)] * 300 + [(10, True)] * 128).model()
    assert model.quantile(0.9, 5000) == 10
    assert model.samples == 128


@given(answers, st.integers(1, 5000))
def test_means_and_quantiles_are_within_the_cap_and_rise_with_it(
    seen: list[tuple[int, bool]], cap: int
) -> None:
    model = learned(seen).model()
    assert 0 <= model.expected(cap) <= cap
    assert model.expected(cap) <= model.expected(cap + 1) + 1e-9
    assert 0 <= model.quantile(0.5, cap) <= model.quantile(0.9, cap) <= cap
    assert model.quantile(0.9, cap) <= model.quantile(0.9, cap + 1)


@given(answers)
def test_a_saved_learner_is_the_same(seen: list[tuple[int, bool]]) -> None:
    learner = learned(seen)
    assert LengthLearner.restore(learner.state()).model() == learner.model()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"tokens": [1.0], "cut_off": []},
        {"tokens": [-1.0], "cut_off": [0]},
        {"tokens": [1.0], "cut_off": [2]},
        {"tokens": [1.0] * 129, "cut_off": [0] * 129},
        {"tokens": "many", "cut_off": [0]},
    ],
)
def test_a_damaged_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"tokens|cut_off"):
        LengthLearner.restore(state)  # type: ignore[arg-type]
