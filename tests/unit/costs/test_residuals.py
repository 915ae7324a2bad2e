from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.costs.residuals import UNTRIED_RATIO, ChangeDetector, Ratios, RatioWindow

ratios = st.floats(0.01, 100)


def seen(values: list[float]) -> RatioWindow:
    window = RatioWindow()
    for value in values:
        window.observe(value)
    return window


def test_before_anything_was_seen_the_upper_ratio_is_wide() -> None:
    assert RatioWindow().quantiles() == Ratios(1.0, UNTRIED_RATIO)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_few_ratios_know_no_upper_quantile(count: int) -> None:
    assert seen([1.0] * count).quantiles().upper == UNTRIED_RATIO
    assert seen([1.0] * count + [7.0]).quantiles().upper == 7.0


def test_ten_ratios_know_one() -> None:
    assert seen([1.1] * 10).quantiles() == Ratios(1.1, 1.1)


def test_the_median_corrects_a_prediction_that_is_always_half() -> None:
    assert seen([2.0] * 3).quantiles().median == 2.0


def test_one_ratio_alone_corrects_nothing() -> None:
    assert seen([5.0]).quantiles().median == 1.0


def test_only_the_latest_count() -> None:
    window = seen([50.0] * 128 + [1.0] * 128)
    assert window.quantiles() == Ratios(1.0, 1.0)
    assert window.latest(2) == [1.0, 1.0]


def test_older_ratios_weigh_less() -> None:
    recent_slow = seen([1.0] * 64 + [2.0] * 60)
    recent_fast = seen([2.0] * 60 + [1.0] * 64)
    assert recent_slow.quantiles().median == 2.0
    assert recent_fast.quantiles().median == 1.0


def test_cleared_it_is_as_wide_as_at_first() -> None:
    window = seen([1.0] * 50)
    window.clear()
    assert window.quantiles() == Ratios(1.0, UNTRIED_RATIO)


@given(st.lists(ratios, max_size=200))
def test_the_upper_quantile_is_a_ratio_seen_and_not_below_the_median(values: list[float]) -> None:
    found = seen(values).quantiles()
    assert found.upper >= found.median > 0
    assert found.upper in (*values, UNTRIED_RATIO, 1.0)


@given(st.lists(ratios, max_size=150))
def test_a_saved_window_is_the_same(values: list[float]) -> None:
    window = seen(values)
    other = RatioWindow()
    other.restore(window.state())
    assert other.quantiles() == window.quantiles()


@pytest.mark.parametrize("values", [[0.0], [-1.0], ["1"], [True], 3, [1.0] * 129, [float("nan")]])
def test_damaged_ratios_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="ratios"):
        RatioWindow().restore({"ratios": values})  # type: ignore[dict-item]


@pytest.mark.parametrize("seed", range(5))
def test_nine_of_ten_stay_below_while_noise_and_bias_drift(seed: int) -> None:
    random = np.random.default_rng(seed)
    window = RatioWindow()
    covered = []
    for step in range(2000):
        bias = 0.3 * np.sin(step / 300)
        noise = 0.1 + 0.1 * step / 2000
        ratio = float(np.exp(bias + noise * random.standard_normal()))
        covered.append(ratio <= window.quantiles().upper)
        window.observe(ratio)
    assert 0.85 <= np.mean(covered[20:]) <= 0.95


def settled(
    noise: float, seed: int, count: int = 200
) -> tuple[ChangeDetector, np.random.Generator]:
    random = np.random.default_rng(seed)
    detector = ChangeDetector()
    for _ in range(count):
        assert detector.observe(noise * random.standard_normal()) == 0
    return detector, random


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_doubling_is_found_within_six_values_and_dated(seed: int, sign: int) -> None:
    detector, random = settled(0.1, seed)
    count = 0
    since = 0
    while not since:
        since = detector.observe(sign * math.log(2) + 0.1 * random.standard_normal())
        count += 1
    assert 3 <= count <= 6
    assert count <= since <= count + 2


@pytest.mark.parametrize("seed", range(5))
def test_outliers_alone_are_no_change(seed: int) -> None:
    detector, random = settled(0.1, seed)
    for step in range(1000):
        outlier = 5.0 if step % 20 == 0 else 0.0
        assert detector.observe(outlier + 0.1 * random.standard_normal()) == 0


@pytest.mark.parametrize("distribution", ["normal", "exponential", "student"])
def test_steady_noise_of_any_size_raises_no_alarm(distribution: str) -> None:
    random = np.random.default_rng(1)
    draws = {
        "normal": 0.5 * random.standard_normal(50_000),
        "exponential": np.log(random.exponential(1.0, 50_000)),
        "student": 0.2 * random.standard_t(3, 50_000),
    }[distribution]
    detector = ChangeDetector()
    assert not any(detector.observe(one) for one in draws.tolist())


def test_shifts_of_a_very_steady_machine_below_a_tenth_are_none() -> None:
    detector, _ = settled(0.001, seed=1)
    assert not any(detector.observe(0.09) for _ in range(1000))


def test_after_a_change_the_new_level_is_usual() -> None:
    detector, random = settled(0.1, seed=2)
    while not detector.observe(1.0):
        pass
    assert not any(detector.observe(0.1 * random.standard_normal()) for _ in range(500))


def test_a_saved_detector_knows_what_is_usual() -> None:
    detector, _ = settled(0.1, seed=3)
    other = ChangeDetector()
    other.restore(detector.state())
    assert other.state() == detector.state()
    assert [other.observe(0.8) for _ in range(4)][-1] > 0


def test_a_damaged_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="spread"):
        ChangeDetector().restore({"centre": 0.0, "spread": -1.0})
