from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.weighting import (
    SURENESS_TEMPERATURE,
    BayesianWeights,
    ConfidentWeights,
    StaticWeights,
    Weigher,
    bits_per_byte,
    entropy,
    evidence,
    prompt_shares,
    shares_along,
)
from support.distributions import normalised, shares

SURE = normalised([9.0, 0.0, 0.0])
TORN = normalised([1.0, 1.0, 0.0])
LOST = normalised([0.0, 0.0, 0.0])
ROWS = [SURE, TORN, LOST]
ALIKE = [LOST, LOST]

KINDS: list[Callable[[Sequence[float]], Weigher]] = [
    StaticWeights,
    ConfidentWeights,
    lambda priors: BayesianWeights(priors, 0.9),
    lambda priors: BayesianWeights(priors, 1.0),
]


def logistic(gap: float) -> float:
    """The share of a member that is so many nats ahead of the only other one."""
    return 1 / (1 + math.exp(-gap))


def test_static_weights_are_the_plans_whatever_happens() -> None:
    weigher = StaticWeights([0.25, 0.75])
    weigher.observe([-100.0, 0.0], 1)
    assert weigher.weights(ROWS[:2]) == [0.25, 0.75]


def test_bayesian_weights_are_the_priors_times_what_each_predicted() -> None:
    weigher = BayesianWeights([0.25, 0.75], 1.0)
    assert weigher.weights(ROWS[:2]) == pytest.approx([0.25, 0.75])
    weigher.observe([math.log(0.5), math.log(0.1)], 1)
    weigher.observe([math.log(0.2), math.log(0.4)], 1)
    one, other = 0.25 * 0.5 * 0.2, 0.75 * 0.1 * 0.4
    assert weigher.weights(ROWS[:2]) == pytest.approx([one / (one + other), other / (one + other)])


def test_what_is_forgotten_counts_less_with_every_byte() -> None:
    weigher = BayesianWeights([0.5, 0.5], 0.5)
    weigher.observe([-1.0, -2.0], 1)
    weigher.observe([-1.0, -1.0], 2)
    assert weigher.weights(ALIKE)[0] == pytest.approx(logistic(1.0 * 0.5**2))


def test_evidence_of_the_prompt_is_where_bayesian_weights_start() -> None:
    known = [evidence([-1.0, -2.0], 0.9), evidence([0.0, -3.0], 0.9)]
    assert known == pytest.approx([-1.0 * 0.9 - 2.0, -3.0])
    assert BayesianWeights([0.5, 0.5], 0.9, known).weights(ALIKE)[0] == pytest.approx(logistic(0.1))
    assert evidence([], 0.9) == 0.0


@pytest.mark.parametrize("forgetting", [0.5, 0.9, 0.99])
def test_the_evidence_against_a_member_is_limited_to_a_nat_for_each_byte_remembered(
    forgetting: float,
) -> None:
    weigher = BayesianWeights([0.5, 0.5], forgetting)
    for _ in range(1000):
        weigher.observe([-9.0, 0.0], 1)
        against = math.log(weigher.weights(ALIKE)[1] / weigher.weights(ALIKE)[0])
        assert against <= 1 / (1 - forgetting) + 1e-6
    told_before = BayesianWeights([0.5, 0.5], forgetting, [-1000.0, 0.0])
    assert told_before.weights(ALIKE) == pytest.approx(weigher.weights(ALIKE))


@pytest.mark.parametrize("impossible", [-math.inf, -1e6])
@pytest.mark.parametrize("forgetting", [0.9, 1.0])
def test_no_surprise_puts_a_member_beyond_coming_back(impossible: float, forgetting: float) -> None:
    weigher = BayesianWeights([0.5, 0.5], forgetting)
    weigher.observe([impossible, -0.1], 1)
    assert 0 < weigher.weights(ALIKE)[0] < 0.001
    for _ in range(60):
        weigher.observe([-0.1, -1.0], 1)
    assert weigher.weights(ALIKE)[0] > 0.5
    assert evidence([impossible], 0.9) == -25.0


def test_of_members_that_did_as_well_the_surer_weighs_more_where_something_is_forgotten() -> None:
    forgetful = BayesianWeights([0.5, 0.5], 0.9)
    gap = (entropy(TORN) - entropy(SURE)) / SURENESS_TEMPERATURE
    assert forgetful.weights([SURE, TORN])[0] == pytest.approx(logistic(gap))
    assert BayesianWeights([0.5, 0.5], 1.0).weights([SURE, TORN]) == [0.5, 0.5]


def test_weights_along_a_text_are_the_mean_of_those_behind_each_byte() -> None:
    seen = [[-1.0, -3.0], [-2.0, -0.5]]
    weigher = BayesianWeights([0.25, 0.75], 0.9)
    behind = []
    for step in zip(*seen, strict=True):
        weigher.observe(step, 1)
        behind.append(weigher.weights(()))
    expected = [sum(column) / 2 for column in zip(*behind, strict=True)]
    assert shares_along([0.25, 0.75], seen, 0.9) == pytest.approx(expected)
    assert shares_along([0.25, 0.75], [[], []], 0.9) == [0.25, 0.75]


def test_confident_weights_are_the_priors_times_the_exponential_of_minus_entropy() -> None:
    weigher = ConfidentWeights([0.25, 0.25, 0.5], temperature=2.0)
    expected = [
        prior * math.exp(-entropy(row) / 2.0)
        for prior, row in zip([0.25, 0.25, 0.5], ROWS, strict=True)
    ]
    assert weigher.weights(ROWS) == pytest.approx([one / sum(expected) for one in expected])


def test_the_entropy_of_a_row_is_in_nats_and_ignores_what_is_impossible() -> None:
    assert entropy(LOST) == pytest.approx(math.log(3))
    with np.errstate(divide="ignore"):
        assert entropy(normalised(np.log([0.5, 0.5, 0.0]))) == pytest.approx(math.log(2))
        assert entropy(normalised(np.log([1.0, 0.0]))) == pytest.approx(0.0, abs=1e-30)


def test_prompt_shares_follow_the_bits_per_byte() -> None:
    got = prompt_shares([0.5, 0.5], [1.0, 1.2], temperature=0.1)
    assert got[0] / got[1] == pytest.approx(math.exp(2.0))
    assert prompt_shares([0.2, 0.8], [3.0, 3.0]) == pytest.approx([0.2, 0.8])


def test_bits_per_byte_are_the_mean_over_the_bytes() -> None:
    assert bits_per_byte([math.log(0.5), math.log(0.25)]) == pytest.approx(1.5)
    assert bits_per_byte([]) == 0.0


@pytest.mark.parametrize("make", KINDS)
@given(priors=shares(3), seen=st.lists(st.tuples(*[st.floats(-2000, 0)] * 3), max_size=30))
def test_weights_sum_to_one(
    make: Callable[[Sequence[float]], Weigher],
    priors: list[float],
    seen: list[tuple[float, float, float]],
) -> None:
    weigher = make(priors)
    for logprobs in seen:
        weigher.observe(logprobs, 1)
        assert sum(weigher.weights(ROWS)) == pytest.approx(1.0, abs=1e-9)
        assert min(weigher.weights(ROWS)) >= 0


@pytest.mark.parametrize("make", KINDS)
@given(priors=shares(3), index=st.integers(0, 2))
def test_a_member_that_is_dropped_leaves_its_weight_to_the_others_in_proportion(
    make: Callable[[Sequence[float]], Weigher], priors: list[float], index: int
) -> None:
    weigher = make(priors)
    weigher.observe([-1.0, -2.0, -3.0], 1)
    before = weigher.weights(ROWS)
    weigher.drop(index)
    rest = [weight for i, weight in enumerate(before) if i != index]
    rows = [row for i, row in enumerate(ROWS) if i != index]
    after = weigher.weights(rows)
    assert after == pytest.approx([weight / sum(rest) for weight in rest])
    weigher.observe([-1.0, -1.0], 1)


@pytest.mark.parametrize("make", KINDS)
def test_the_last_member_weighs_everything(make: Callable[[Sequence[float]], Weigher]) -> None:
    weigher = make([0.5, 0.25, 0.25])
    weigher.drop(0)
    weigher.drop(1)
    assert weigher.weights(ROWS[:1]) == [1.0]


def test_a_member_that_hardly_weighs_anything_can_be_the_one_that_remains() -> None:
    bits = [bits_per_byte([-0.1]), bits_per_byte([-math.inf])]
    assert bits[1] == pytest.approx(25 / math.log(2))
    shares_of_both = prompt_shares([0.5, 0.5], bits)
    assert 0 < shares_of_both[1] < 1e-100
    weigher = StaticWeights(shares_of_both)
    weigher.drop(0)
    assert weigher.weights(ROWS[:1]) == [1.0]


def test_bayesian_weights_that_vanish_come_back_with_a_drop() -> None:
    weigher = BayesianWeights([0.5, 0.5], 1.0)
    for _ in range(100):
        weigher.observe([-0.1, -20.0], 1)
    assert weigher.weights(ROWS[:2]) == [1.0, 0.0]
    weigher.drop(0)
    assert weigher.weights(ROWS[:1]) == [1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("least", [5e-324, 1e-320, 1e-300, 1e-40])
def test_weights_that_all_but_vanish_stay_numbers_whoever_is_dropped(
    kind: Callable[[Sequence[float]], Weigher], least: float
) -> None:
    weigher = kind([1.0 - 2 * least, least, least])
    for _ in range(200):
        weigher.observe([0.0, -math.inf, -90.0], 1)
    assert math.fsum(weigher.weights(ROWS)) == pytest.approx(1.0)
    weigher.drop(0)
    rest = weigher.weights(ROWS[1:])
    assert math.fsum(rest) == pytest.approx(1.0)
    assert all(0.0 <= share <= 1.0 for share in rest)


def test_those_who_are_left_with_no_weight_at_all_weigh_the_same() -> None:
    weigher = StaticWeights(prompt_shares([1.0, 1e-300, 1e-300], [0.0, 9.0, 9.0]))
    weigher.drop(0)
    assert weigher.weights(ROWS[1:]) == [0.5, 0.5]


def test_the_mean_of_bayesian_weights_may_vanish_and_be_where_they_start() -> None:
    text = [[0.0] * 50, [-25.0] * 50]
    along = shares_along([1.0, 5e-324], text, 1.0)
    weigher = BayesianWeights(along, 0.9)
    assert weigher.weights(ALIKE) == pytest.approx([1.0, 0.0])
