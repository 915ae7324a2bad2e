"""Expected quality, by hand: a Beta prior worth four cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.routing.quality import QualityTable, Tally

TABLE = QualityTable(
    measured={
        ("single:a", ""): Tally(30.0, 36.0),
        ("single:a", "code"): Tally(0.0, 6.0),
        ("single:b", "law"): Tally(12.0, 12.0),
        ("single:c", ""): Tally(0.0, 0.0),
    },
    declared={"a": 0.5, "c": 0.8, "expert": 0.9},
    tasks={"expert": ("law",), "coder": ("code", "sql")},
)


@pytest.mark.parametrize(
    ("models", "task", "expected"),
    [
        (("a",), "", (30 + 4 * 0.5) / 40),
        (("a",), "law", 0.8),
        (("a",), "code", 4 * 0.8 / 10),
        (("b",), "law", (12 + 4 * 0.5) / 16),
        (("b",), "", 0.5),
        (("c",), "", 0.8),
        (("c",), "code", 0.8),
        (("expert",), "law", 0.9),
        (("expert",), "code", 0.4),
        (("coder",), "sql", 0.6),
        (("coder",), "", 0.4),
        (("d",), "", 0.5),
    ],
)
def test_what_was_measured_pulls_what_is_assumed_towards_it(
    models: tuple[str, ...], task: str, expected: float
) -> None:
    assert TABLE.expected(f"single:{models[0]}", models, task) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("models", "expected"),
    [(("c", "d"), 0.81), (("d", "c", "a"), 0.82), (("expert", "coder"), 0.91)],
)
def test_a_vote_nobody_measured_is_a_little_better_than_its_best_member(
    models: tuple[str, ...], expected: float
) -> None:
    assert TABLE.expected("ensemble:unknown", models, "law") == pytest.approx(expected)


def test_no_vote_is_right_more_often_than_always() -> None:
    sure = QualityTable(declared={"a": 1.0})
    assert sure.expected("ensemble:a+b", ("a", "b"), "") == 1.0


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1), st.sampled_from(["", "law"]))
def test_quality_lies_between_what_was_assumed_and_what_was_measured(
    right: int, wrong: int, declared: float, task: str
) -> None:
    cases = right + wrong
    table = QualityTable({("k", task): Tally(right, cases)}, {"a": declared})
    expected = table.expected("k", ("a",), task)
    measured = right / cases if cases else declared
    low, high = sorted((measured, declared))
    assert low - 1e-12 <= expected <= high + 1e-12


def test_an_outsider_is_a_model_for_other_tasks_only() -> None:
    told = [TABLE.is_outsider(model, "law") for model in ("expert", "coder", "a")]
    assert told == [False, True, False]
    assert TABLE.is_outsider("expert", "")
