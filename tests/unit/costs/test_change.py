from __future__ import annotations

import math

import numpy as np
import pytest

from quorate.costs.change import ChangeDetector


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
