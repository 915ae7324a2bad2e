"""Intervals against distributions that are known, and what speaks against a run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quorate_bench.intervals import median_interval, percentiles, ratio_interval
from quorate_bench.measuring import _gaps, _shares
from quorate_bench.noise import Load, verdict
from quorate_bench.report.fronts import front

numbers = st.floats(0.001, 1e6)


def test_intervals_hold_the_true_median_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    # Of a log-normal distribution with parameter 0 the median is 1.
    found = [median_interval(rng.lognormal(size=15)) for _ in range(300)]
    held = sum(one.low <= 1 <= one.high for one in found)
    # 95 % of 300 are 285; the percentile bootstrap of 15 values errs a little on either side.
    assert 270 <= held <= 299


def test_ratios_of_equal_distributions_hold_one_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    found = [ratio_interval(rng.lognormal(size=15), rng.lognormal(size=15)) for _ in range(300)]
    assert 270 <= sum(one.low <= 1 <= one.high for one in found) <= 300


@given(st.lists(numbers, min_size=1, max_size=8))
def test_a_median_lies_in_its_interval_and_among_its_values(values: list[float]) -> None:
    found = median_interval(values)
    assert found.low <= found.value <= found.high
    assert min(values) <= found.value <= max(values)


def test_one_value_says_nothing_of_its_spread() -> None:
    assert median_interval([3.0]).low == -math.inf
    ratio = ratio_interval([3.0], [2.0])
    assert (ratio.value, ratio.low, ratio.high) == (1.5, 0.0, math.inf)


def test_nothing_has_no_median() -> None:
    for of_nothing in (median_interval, percentiles):
        with pytest.raises(ValueError, match="value"):
            of_nothing([])


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_no_point_of_a_front_is_beaten_and_every_other_is(points: list) -> None:
    best = [points[index] for index in front(points)]
    assert best == sorted(best)
    for x, y in points:
        assert any(a <= x and b <= y for a, b in best)
    for x, y in best:
        assert not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30))
def test_gaps_add_up_to_what_the_reader_waited(moments: list[float]) -> None:
    moments = sorted(moments)
    if moments[0] == moments[-1]:
        assert _gaps(moments) == ()
        assert sum(_shares(moments, moments[0] - 1)) == pytest.approx(
            1e3 * (len(moments) - 1) / len(moments)
        )
        return
    gaps = _gaps(moments)
    assert len(gaps) == len(moments) - 1
    assert sum(gaps) == pytest.approx(1e3 * (moments[-1] - moments[0]))


def test_a_quiet_machine_is_not_accused() -> None:
    assert verdict([Load(0.01, 0.0)] * 5, [[10.0, 10.2, 9.9]] * 5) == ""
    assert verdict([], []) == ""


@pytest.mark.parametrize(
    ("load", "repeated", "accusation"),
    [
        (Load(0.4, 0.0), [1.0, 1.0], "other programs took 40% of the processor"),
        (Load(0.0, 0.1), [1.0, 1.0], "other machines on this host took 10% of it"),
        (Load(0.0, 0.0), [1.0, 1.5], "repetitions of a case differ by 40%"),
    ],
)
def test_a_busy_machine_is_told_with_the_reason(
    load: Load, repeated: list[float], accusation: str
) -> None:
    assert verdict([load] * 3, [repeated] * 3) == f"this machine was busy: {accusation}"
