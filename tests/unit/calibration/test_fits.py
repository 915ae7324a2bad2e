from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.fits import (
    LabelledAnswer,
    fit_confidence,
    fit_tasks,
    held_out_confidences,
    tally,
)
from quorate.calibration.folds import split
from quorate.calibration.logistic import fit_logistic
from quorate.calibration.scores import case_losses, score_confidences
from quorate.routing.confidence import Signals
from quorate.routing.quality import Tally


def answers_of(
    count: int, *, seed: int = 1, slope: float = 3.0, by: str = "mean_logprob", task: str = ""
) -> list[LabelledAnswer]:
    """Answers that are right the more often the higher one signal is."""
    rng = np.random.default_rng(seed)
    answers = []
    for index in range(count):
        height = float(rng.uniform(-2, 0))
        chance = 1 / (1 + math.exp(-slope * (height + 1)))
        signals = replace(Signals(mean_logprob=float(rng.uniform(-2, 0))), **{by: height})
        right = bool(rng.random() < chance)
        answers.append(LabelledAnswer(f"{task}{index}", task, right, signals, f"{task}{index}"))
    return answers


def test_right_answers_and_cases_are_counted_by_task_and_over_all() -> None:
    answers = [
        LabelledAnswer("1", "code", True, Signals(), "1"),
        LabelledAnswer("2", "code", False, None, "2"),
        LabelledAnswer("3", "", True, Signals(), "3"),
    ]
    assert tally(answers) == {"": Tally(2.0, 3.0), "code": Tally(1.0, 2.0)}


def test_the_odds_come_back_from_which_labels_were_drawn() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 2)) * (1.0, 5.0) + (0.0, 3.0)
    odds = 0.5 + 1.5 * rows[:, 0] - 0.2 * rows[:, 1]
    right = (rng.random(len(rows)) < 1 / (1 + np.exp(-odds))).astype(float)
    fitted = fit_logistic(rows, right, (0, 1))
    assert fitted.weights == (pytest.approx(1.5, abs=0.1), pytest.approx(-0.2, abs=0.02))
    assert fitted.bias == pytest.approx(0.5, abs=0.1)
    assert fitted.cases == 20_000


def test_a_column_that_may_not_count_has_no_weight() -> None:
    rows = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    fitted = fit_logistic(rows, np.array([0.0, 0.0, 1.0, 1.0]), (1,))
    assert fitted.weights[0] == 0.0
    assert fitted.weights[1] > 0.1


def test_a_column_that_never_changes_does_no_harm() -> None:
    rows = np.array([[7.0, 0.0], [7.0, 1.0], [7.0, 2.0], [7.0, 3.0]])
    fitted = fit_logistic(rows, np.array([0.0, 0.0, 1.0, 1.0]), (0, 1))
    assert fitted.weights[0] == pytest.approx(0.0, abs=1e-9)


def test_without_columns_the_share_of_right_answers_is_stated_a_little_drawn_to_the_middle() -> (
    None
):
    fitted = fit_logistic(np.zeros((8, 6)), np.ones(8), ())
    assert fitted.confidence(Signals()) == pytest.approx(9 / 10)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_a_fit_is_finite_whatever_the_labels_and_however_equal_the_signals(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 6)) * rng.choice([0.0, 1e-9, 1.0, 1e6], size=6)
    right = rng.integers(0, 2, count).astype(float)
    fitted = fit_logistic(rows, right, tuple(range(6)))
    assert all(map(math.isfinite, (*fitted.weights, fitted.bias)))


def test_scores_are_those_of_their_definitions() -> None:
    scores = score_confidences([0.9, 0.8, 0.3, 0.3], [True, False, False, True])
    assert scores.brier == pytest.approx((0.01 + 0.64 + 0.09 + 0.49) / 4)
    assert scores.log_loss == pytest.approx(-math.log(0.9 * 0.2 * 0.7 * 0.3) / 4)
    # Bins of 0.3: two cases, one right; of 0.8: one, wrong; of 0.9: one, right.
    assert scores.calibration_error == pytest.approx((0.4 + 0.8 + 0.1) / 4)


def test_certainty_that_was_wrong_costs_much_and_not_everything() -> None:
    assert case_losses([1.0, 0.0], [False, True]) == [
        pytest.approx(-math.log(1e-6), rel=1e-6),
        pytest.approx(-math.log(1e-6), rel=1e-6),
    ]


def test_every_case_is_held_out_once_and_cases_of_a_group_stay_together() -> None:
    groups = [f"g{index // 3}" for index in range(40)]
    masks = split(groups)
    assert len(masks) == 5
    assert np.sum(masks, axis=0).tolist() == [1] * 40
    for mask in masks:
        inside = {group for group, out in zip(groups, mask, strict=True) if out}
        outside = {group for group, out in zip(groups, mask, strict=True) if not out}
        assert not inside & outside


def test_one_group_cannot_be_split() -> None:
    assert split(["a", "a"]) == []


def test_an_informative_mean_log_prob_is_taken_and_improves_on_held_out_cases() -> None:
    fitted = fit_confidence(answers_of(50, slope=6.0))
    assert fitted is not None
    assert fitted.calibration is not None
    assert fitted.manner == "mean log-prob"
    assert fitted.after.log_loss < fitted.before.log_loss
    assert fitted.calibration.confidence(Signals(mean_logprob=-0.1)) > 0.8
    assert fitted.calibration.confidence(Signals(mean_logprob=-1.9)) < 0.2


def test_other_signals_count_once_there_are_enough_cases() -> None:
    fitted = fit_confidence(answers_of(300, slope=6.0, by="least_logprob"))
    assert fitted is not None
    assert fitted.calibration is not None
    assert fitted.manner == "all signals"
    sure = fitted.calibration.confidence(Signals(mean_logprob=-1.0, least_logprob=-0.1))
    unsure = fitted.calibration.confidence(Signals(mean_logprob=-1.0, least_logprob=-1.9))
    assert sure > 0.8 > 0.2 > unsure


def test_signals_that_tell_nothing_leave_the_share_of_right_answers() -> None:
    rng = np.random.default_rng(3)
    answers = [
        LabelledAnswer(
            str(i), "", i % 10 < 7, Signals(mean_logprob=float(rng.uniform(-4, 0))), str(i)
        )
        for i in range(40)
    ]
    fitted = fit_confidence(answers)
    assert fitted is not None
    assert fitted.calibration is not None
    assert fitted.manner == "share of right answers"
    assert fitted.calibration.confidence(Signals(mean_logprob=-9)) == pytest.approx(0.69, abs=0.02)


def test_too_few_cases_change_nothing() -> None:
    answers = answers_of(19)
    fitted = fit_confidence(answers)
    assert fitted is not None
    assert (fitted.calibration, fitted.manner) == (None, "none")
    first = answers[0].signals
    assert first is not None
    assert fitted.held_out[0] == pytest.approx(math.exp(first.mean_logprob))


def test_answers_without_signals_are_left_out() -> None:
    assert fit_confidence([LabelledAnswer("1", "", False, None, "1")]) is None
    assert fit_tasks([LabelledAnswer("1", "", False, None, "1")]) == {}


def test_a_task_gets_a_curve_of_its_own_only_where_that_is_better() -> None:
    rising = answers_of(200, slope=8.0, task="rising")
    falling = answers_of(200, slope=-8.0, seed=2, task="falling")
    fitted = fit_tasks([*rising, *falling])
    assert set(fitted) == {"", "rising", "falling"}
    stated = held_out_confidences([*rising, *falling], fitted)
    assert set(stated) == {answer.case for answer in (*rising, *falling)}
    own = fitted["falling"].held_out
    assert [stated[answer.case] for answer in falling] == list(own)


def test_one_task_alone_shares_the_curve_of_all() -> None:
    assert set(fit_tasks(answers_of(60, task="code"))) == {""}


@pytest.mark.parametrize(("cases", "manner"), [(600, "margin, isotonic"), (150, "margin")])
def test_with_many_answers_confidence_bends_where_the_truth_does(cases: int, manner: str) -> None:
    """Below a margin of a half answers are right as often as not, above it nearly always."""
    rng = np.random.default_rng(5)
    answers = []
    for index in range(cases):
        margin = float(rng.uniform(0, 1))
        right = bool(rng.random() < (0.95 if margin > 0.5 else 0.5))
        signals = Signals(float(rng.uniform(-2, 0)), -1.0, margin)
        answers.append(LabelledAnswer(f"{index}", "", right, signals, f"{index}"))
    fitted = fit_confidence(answers)
    assert fitted is not None and fitted.calibration is not None
    assert fitted.manner == manner
    told = [fitted.calibration.confidence(Signals(margin=one)) for one in (0.1, 0.4, 0.6, 0.9)]
    assert told == sorted(told)
    if cases > 500:
        assert told == pytest.approx([0.5, 0.5, 0.95, 0.95], abs=0.12)
        assert fitted.after.calibration_error < fitted.before.calibration_error / 3
