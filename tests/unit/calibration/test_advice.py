from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.advice import CascadeCase, advise_cascade, suggest_weights
from quorate.calibration.intervals import (
    cases_needed,
    compare,
    difference_interval,
    share_interval,
)
from quorate.routing.quality import Tally


def test_the_interval_of_a_share_is_wilsons() -> None:
    share = share_interval(Tally(8, 10))
    assert share.value == 0.8
    assert (share.low, share.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )


def test_all_right_is_no_certainty() -> None:
    share = share_interval(Tally(20, 20))
    assert share.low == pytest.approx(0.8389, abs=1e-4)
    assert share.high == pytest.approx(1.0)


def test_no_case_tells_nothing() -> None:
    share = share_interval(Tally(0, 0))
    assert (share.low, share.high) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_a_share_lies_within_its_interval(cases: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, cases))
    share = share_interval(Tally(right, cases))
    assert 0 <= share.low <= share.value + 1e-12
    assert share.value - 1e-12 <= share.high <= 1


def test_the_interval_of_a_paired_difference_covers_what_theory_says() -> None:
    rng = np.random.default_rng(5)
    ours = (rng.random(400) < 0.7).astype(float)
    theirs = (rng.random(400) < 0.6).astype(float)
    found = difference_interval(list(ours), list(theirs))
    error = float((ours - theirs).std() / 20)
    assert found.value == pytest.approx(float((ours - theirs).mean()))
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.01)


def test_many_wins_and_few_losses_are_better_and_the_other_way_worse() -> None:
    ours = [True] * 20 + [False] * 2 + [True] * 20
    theirs = [False] * 20 + [True] * 2 + [True] * 20
    better = compare(ours, theirs)
    assert (better.verdict, better.wins, better.losses, better.cases) == ("better", 20, 2, 42)
    assert better.difference.value == pytest.approx(18 / 42)
    assert compare(theirs, ours).verdict == "worse"


def test_three_cases_that_all_went_one_way_tell_nothing() -> None:
    found = compare([True] * 3, [False] * 3)
    assert found.difference.low == 1.0
    assert found.verdict == "cannot be told with 3 cases"


def test_equal_answers_tell_nothing() -> None:
    assert compare([True] * 50, [True] * 50).verdict == "cannot be told with 50 cases"
    assert compare([True], [True]).verdict == "cannot be told with 1 case"


def test_weights_are_in_proportion_to_the_odds_of_being_right() -> None:
    weights = suggest_weights({"a": Tally(89.5, 99), "b": Tally(49.5, 99)})
    assert weights == {"a": pytest.approx(0.9), "b": pytest.approx(0.1)}


def test_a_member_that_was_never_wrong_or_never_right_keeps_a_finite_weight() -> None:
    weights = suggest_weights({"a": Tally(10, 10), "b": Tally(0, 10)})
    assert sum(weights.values()) == pytest.approx(1.0)
    assert 0 < weights["b"] < weights["a"] < 1


def cases_of(count: int, *, telling: bool) -> list[CascadeCase]:
    """The last stage is always right, the first in three of four, and knows it or not."""
    cases = []
    for index in range(count):
        right = index % 4 != 0
        sure = right if telling else index % 3 == 0
        confidence = (0.8 if sure else 0.2) + index / (10 * count)
        cases.append(CascadeCase(confidence, right, True, str(index)))
    return cases


def test_a_first_stage_that_knows_when_it_is_wrong_keeps_the_rest() -> None:
    advice = advise_cascade(cases_of(80, telling=True), first_cost=1.0, last_cost=10.0)
    assert advice is not None
    assert 0.3 < advice.confidence <= 0.8 + 1e-9
    assert (advice.kept, advice.accuracy) == (0.75, 1.0)
    assert advice.cost == pytest.approx(1.0 + 0.25 * 10.0)
    assert advice.held_out_accuracy == pytest.approx(1.0, abs=0.05)
    assert (advice.last_accuracy, advice.last_cost, advice.cases) == (1.0, 10.0, 80)
    assert advice.pays


def test_a_first_stage_that_does_not_know_it_pays_nothing() -> None:
    advice = advise_cascade(cases_of(100, telling=False), first_cost=1.0, last_cost=10.0)
    assert advice is not None
    assert advice.kept < 0.1
    assert not advice.pays


def test_a_first_stage_as_dear_as_the_last_pays_nothing() -> None:
    advice = advise_cascade(cases_of(80, telling=True), first_cost=9.0, last_cost=10.0)
    assert advice is not None
    assert advice.cost == pytest.approx(11.5)
    assert not advice.pays


def test_few_cases_advise_nothing() -> None:
    assert advise_cascade(cases_of(19, telling=True), 1.0, 10.0) is None


@given(
    st.lists(st.tuples(st.floats(0, 0.99), st.booleans(), st.booleans()), min_size=20, max_size=60)
)
def test_a_threshold_never_loses_more_than_a_point(drawn: list[tuple[float, bool, bool]]) -> None:
    cases = [CascadeCase(*one, str(index)) for index, one in enumerate(drawn)]
    advice = advise_cascade(cases, 1.0, 2.0)
    assert advice is not None
    assert advice.accuracy >= advice.last_accuracy - 0.01 - 1e-9
    kept = [
        case.first_right if case.confidence >= advice.confidence else case.last_right
        for case in cases
    ]
    assert advice.accuracy == pytest.approx(sum(kept) / len(kept))


def test_without_an_effect_hardly_any_data_say_that_it_pays() -> None:
    """In 400 simulated data sets both ways are right equally often, and often together."""
    rng = np.random.default_rng(7)
    paid = 0
    for _ in range(400):
        cases = int(rng.integers(20, 300))
        common = rng.random(cases)
        ours, theirs = (
            list((0.6 * common + 0.4 * rng.random(cases) < 0.55).tolist()) for _ in range(2)
        )
        paid += compare(ours, theirs).verdict == "better"
    assert paid <= 400 / 20


@pytest.mark.parametrize(("wins", "losses"), [(30, 10), (12, 8), (3, 0)])
def test_so_many_cases_as_are_said_to_be_needed_tell_a_difference_four_times_of_five(
    wins: int, losses: int
) -> None:
    needed = cases_needed(wins, losses, 100)
    assert needed is not None
    rng = np.random.default_rng(3)
    told = 0
    for _ in range(200):
        drawn = rng.random(needed)
        ours = drawn < wins / 100
        theirs = (drawn >= wins / 100) & (drawn < (wins + losses) / 100)
        told += compare(ours.tolist(), theirs.tolist()).verdict == "better"
    # The exact test is a little more careful than the formula.
    assert 0.6 <= told / 200 <= 0.92
    assert cases_needed(5, 5, 100) is None
