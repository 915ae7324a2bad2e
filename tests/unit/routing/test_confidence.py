"""From signals to a confidence, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.routing.confidence import Calibration, ConfidenceTable, Signals

SIGNALS = Signals(-0.5, -2.0, 0.6, 0.7, 0.1, 3.0)
NONE = (0.0,) * 6


def test_signals_become_a_vector_in_the_order_of_their_names() -> None:
    assert SIGNALS.vector() == (-0.5, -2.0, 0.6, 0.7, 0.1, 3.0)


@pytest.mark.parametrize(
    ("weights", "bias", "expected"),
    [
        (NONE, 0.0, 0.5),
        (NONE, math.log(3.0), 0.75),
        ((2.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.5),
        ((1.0, 0.5, 1.0, 1.0, 2.0, 0.1), 0.0, 1 / (1 + math.exp(-0.3))),
        (NONE, 1000.0, 1.0),
        (NONE, -1000.0, 0.0),
    ],
)
def test_a_calibrated_confidence_is_a_logistic_curve(
    weights: tuple[float, ...], bias: float, expected: float
) -> None:
    """The fourth: -0.5 - 1.0 + 0.6 + 0.7 + 0.2 + 0.3 = 0.3."""
    told = Calibration(weights, bias).confidence(SIGNALS)
    assert told == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("key", "task", "expected"),
    [("k", "law", 0.75), ("k", "code", 0.5), ("k", "", 0.5), ("other", "law", math.exp(-0.5))],
)
def test_the_calibration_of_the_task_goes_before_that_of_all_tasks(
    key: str, task: str, expected: float
) -> None:
    table = ConfidenceTable(
        {("k", "law"): Calibration(NONE, math.log(3.0)), ("k", ""): Calibration(NONE, 0.0)}
    )
    assert table.confidence(key, task, SIGNALS) == pytest.approx(expected)


@given(st.floats(-1e6, 1e-6), st.floats(-1e6, 1e-6))
def test_without_calibration_a_likelier_answer_is_surer(first: float, second: float) -> None:
    low, high = sorted((first, second))
    table = ConfidenceTable()
    told = [table.confidence("k", "", Signals(mean_logprob=value)) for value in (low, high)]
    assert 0.0 <= told[0] <= told[1] <= 1.0
