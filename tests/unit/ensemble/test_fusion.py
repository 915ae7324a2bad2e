from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.ensemble.fusion import Fuser, fuse
from quorate.request import CombinationRule
from support.distributions import (
    geometric_reference,
    linear_reference,
    normalised,
    random_row,
    rows,
    shares,
)

LINEAR = CombinationRule.LINEAR
GEOMETRIC = CombinationRule.GEOMETRIC
MAJORITY = CombinationRule.MAJORITY
every_rule = pytest.mark.parametrize("rule", list(CombinationRule))
REFERENCES = {LINEAR: linear_reference, GEOMETRIC: geometric_reference}
both_means = pytest.mark.parametrize("rule", REFERENCES)


# Above the rounding of the result itself. A geometric mixture adds up weighted log-probs down to
# the floor, each rounded; a linear one adds up probabilities.
TOLERANCE = {LINEAR: 1e-6, GEOMETRIC: 6e-6}


def assert_same(got: LogProbs, expected: np.ndarray, rule: CombinationRule) -> None:
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(got), finite)
    error = np.abs(got[finite].astype(np.float64) - expected[finite])
    rounding = 4 * np.spacing(np.abs(expected[finite]).astype(np.float32))
    assert np.all(error <= TOLERANCE[rule] + rounding)


def mass(row: LogProbs) -> float:
    return math.fsum(np.exp(row.astype(np.float64)))


@both_means
@given(rows(3), shares(3))
def test_the_mixture_equals_the_float64_reference(
    rule: CombinationRule, members: list[LogProbs], weights: list[float]
) -> None:
    assert_same(fuse(rule, members, weights), REFERENCES[rule](members, weights), rule)


@pytest.mark.parametrize("scale", [0.01, 2.5, 12.0])
def test_a_whole_vocabulary_is_mixed_to_the_precision_of_float32(scale: float) -> None:
    members = [random_row(49_152, seed, scale) for seed in range(3)]
    weights = [0.5, 0.3, 0.2]
    for rule, tolerance in ((LINEAR, 1e-6), (GEOMETRIC, 3e-6)):
        mixture = fuse(rule, members, weights)
        expected = REFERENCES[rule](members, weights)
        likely = expected > -16
        np.testing.assert_allclose(
            np.exp(mixture[likely].astype(np.float64)), np.exp(expected[likely]), rtol=tolerance
        )
        assert_same(mixture, expected, rule)
        assert mass(mixture) == pytest.approx(1, abs=1e-6)


@every_rule
@given(rows(3), shares(3))
def test_the_mixture_is_a_distribution(
    rule: CombinationRule, members: list[LogProbs], weights: list[float]
) -> None:
    mixture = fuse(rule, members, weights)
    assert mass(mixture) == pytest.approx(1, abs=1e-6)
    assert mixture.max() <= 0
    assert mixture.dtype == np.float32
    assert not np.isnan(mixture).any()


@both_means
@given(rows(1), shares(2))
def test_two_equal_members_equal_one(
    rule: CombinationRule, members: list[LogProbs], weights: list[float]
) -> None:
    assert_same(fuse(rule, members * 2, weights), members[0].astype(np.float64), rule)


@given(rows(1), shares(2))
def test_a_majority_of_two_equal_members_chooses_as_one(
    members: list[LogProbs], weights: list[float]
) -> None:
    mixture = fuse(MAJORITY, members * 2, weights)
    assert mixture.argmax() == members[0].argmax()
    assert np.count_nonzero(np.isfinite(mixture)) == 1


@every_rule
@given(rows(2))
def test_a_member_of_weight_zero_has_no_part(
    rule: CombinationRule, members: list[LogProbs]
) -> None:
    assert fuse(rule, members, [1.0, 0.0]) is members[0]
    assert fuse(rule, members, [0.0, 1.0]) is members[1]


@every_rule
def test_one_member_alone_is_its_own_row(rule: CombinationRule) -> None:
    row = random_row(16, 0)
    assert fuse(rule, [row], [1.0]) is row


@both_means
@given(rows(3), shares(3), st.permutations(range(3)))
def test_the_order_of_the_members_does_not_matter(
    rule: CombinationRule, members: list[LogProbs], weights: list[float], order: list[int]
) -> None:
    shuffled = fuse(rule, [members[i] for i in order], [weights[i] for i in order])
    assert_same(shuffled, fuse(rule, members, weights).astype(np.float64), rule)


@given(rows(3), st.permutations(range(3)))
def test_the_order_of_the_members_does_not_matter_to_a_majority(
    members: list[LogProbs], order: list[int]
) -> None:
    weights = [0.5, 0.3, 0.2]
    shuffled = fuse(MAJORITY, [members[i] for i in order], [weights[i] for i in order])
    np.testing.assert_allclose(shuffled, fuse(MAJORITY, members, weights), rtol=1e-6)


@both_means
@given(rows(3), shares(3))
def test_no_token_costs_more_bits_than_the_members_do_on_average(
    rule: CombinationRule, members: list[LogProbs], weights: list[float]
) -> None:
    mixture = fuse(rule, members, weights).astype(np.float64)
    average = sum(w * row.astype(np.float64) for row, w in zip(members, weights, strict=True))
    slack = TOLERANCE[rule] + 1e-6 * np.where(np.isfinite(mixture), np.abs(mixture), 0)
    assert np.all(-mixture <= -average + slack)


@every_rule
@given(rows(2), shares(2))
def test_the_members_rows_are_not_touched(
    rule: CombinationRule, members: list[LogProbs], weights: list[float]
) -> None:
    before = [row.copy() for row in members]
    fuse(rule, members, weights)
    for row, copy in zip(members, before, strict=True):
        np.testing.assert_array_equal(row, copy)


@every_rule
def test_one_step_leaves_no_trace_in_the_next(rule: CombinationRule) -> None:
    fuser = Fuser(rule)
    first = [random_row(32, 1), random_row(32, 2, 60)]
    second = [random_row(32, 3), random_row(32, 4)]
    alone = fuse(rule, second, [0.4, 0.6])
    fuser.fuse(first, [0.5, 0.5])
    np.testing.assert_array_equal(fuser.fuse(second, [0.4, 0.6]).row, alone)


def test_linear_keeps_what_only_one_member_thinks_possible() -> None:
    a, b = normalised([0, -math.inf]), normalised([-math.inf, 0])
    np.testing.assert_allclose(np.exp(fuse(LINEAR, [a, b], [0.25, 0.75])), [0.25, 0.75], rtol=1e-6)


def test_linear_keeps_log_probs_far_below_what_a_float32_probability_can_hold() -> None:
    a, b = normalised([0, -150.0]), normalised([0, -160.0])
    mixture = fuse(LINEAR, [a, b], [0.5, 0.5])
    assert mixture[1] == pytest.approx(-150 + math.log(0.5 * (1 + math.exp(-10))), abs=2e-5)


def test_a_tiny_weight_does_not_underflow() -> None:
    a, b = normalised([0, -math.inf]), normalised([-math.inf, 0])
    assert fuse(LINEAR, [a, b], [1.0, 1e-40])[1] == pytest.approx(math.log(1e-40), rel=1e-6)


def test_one_members_zero_does_not_veto_a_geometric_mixture() -> None:
    a, b = normalised([0, 0, -math.inf]), normalised([-math.inf, 0, 0])
    mixture = fuse(GEOMETRIC, [a, b], [0.5, 0.5])
    assert mixture[1] == pytest.approx(0, abs=1e-5)
    assert mixture[0] == pytest.approx((-30 + math.log(0.5)) / 2 - math.log(0.5), abs=1e-5)


def test_what_every_member_rules_out_stays_ruled_out() -> None:
    a, b = normalised([0, 1, -math.inf]), normalised([1, 0, -math.inf])
    for rule in (LINEAR, GEOMETRIC):
        assert fuse(rule, [a, b], [0.5, 0.5])[2] == -math.inf


def test_a_majority_adds_up_the_weights_of_those_who_agree() -> None:
    members = [normalised([0, 1, 2]), normalised([3, 1, 2]), normalised([0, 1, 9])]
    fuser = Fuser(MAJORITY)
    mixture = fuser.fuse(members, [0.3, 0.45, 0.25]).row
    np.testing.assert_allclose(np.exp(mixture), [0.45, 0, 0.55], rtol=1e-6)
    assert fuser.tied == ()


def test_a_tie_goes_to_the_token_with_the_heaviest_voter_and_is_reported() -> None:
    one, two = normalised([9, 0, 0]), normalised([0, 0, 9])
    fuser = Fuser(MAJORITY)
    mixture = fuser.fuse([one, one, two], [0.25, 0.25, 0.5]).row
    assert mixture.argmax() == 2
    assert fuser.tied == (2, 0)
    assert mass(mixture) == pytest.approx(1, abs=1e-6)


def test_a_tie_of_equal_voters_goes_to_the_earlier_member() -> None:
    one, two = normalised([9, 0, 0]), normalised([0, 0, 9])
    fuser = Fuser(MAJORITY)
    assert fuser.fuse([two, one], [0.5, 0.5]).row.argmax() == 2
    assert fuser.tied == (2, 0)
    assert fuser.fuse([one, two], [0.5, 0.5]).row.argmax() == 0
    assert fuser.tied == (0, 2)


def test_shares_that_differ_only_by_rounding_are_a_tie() -> None:
    one, two = normalised([9, 0]), normalised([0, 9])
    fuser = Fuser(MAJORITY)
    mixture = fuser.fuse([one, one, two], [0.1 / 0.6, 0.2 / 0.6, 0.3 / 0.6]).row
    assert fuser.tied == (1, 0)
    assert mixture.argmax() == 1


def test_the_tie_of_one_step_is_forgotten_in_the_next() -> None:
    one, two = normalised([9, 0]), normalised([0, 9])
    fuser = Fuser(MAJORITY)
    fuser.fuse([one, two], [0.5, 0.5])
    fuser.fuse([one], [1.0])
    assert fuser.tied == ()


@every_rule
@given(rows(2), st.sampled_from([0.0, 5e-324, 1e-300, 1e-100, 1e-45]))
def test_a_member_whose_weight_vanishes_in_float32_has_no_part(
    rule: CombinationRule, members: list[LogProbs], weight: float
) -> None:
    assert np.array_equal(fuse(rule, members, [weight, 1.0]), members[1])
    alone = fuse(rule, [members[0], members[0]], [0.25, 0.75])
    three = fuse(rule, [members[0], members[1], members[0]], [0.25, weight, 0.75])
    assert np.array_equal(three, alone)


@every_rule
@pytest.mark.parametrize("weight", [1.5e-45, 1e-40, 1.2e-38, 1e-20])
def test_the_smallest_weights_that_count_give_numbers_also_where_members_rule_tokens_out(
    rule: CombinationRule, weight: float
) -> None:
    nothing = float("-inf")
    sides = [
        normalised([0.0, nothing, nothing, nothing]),
        normalised([nothing, 0.0, 1.0, nothing]),
    ]
    mixture = fuse(rule, sides, [weight, 1.0 - weight])
    assert not np.isnan(mixture).any()
    assert mixture[3] == nothing
    assert mass(mixture) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [0.2, 0.3, 0.5]])
def test_weights_that_do_not_fit_the_rows_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError):
        fuse(LINEAR, [random_row(4, 0), random_row(4, 1)], weights)


def test_no_members_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="no row has a weight"):
        fuse(LINEAR, [], [])
