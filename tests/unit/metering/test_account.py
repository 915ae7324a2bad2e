from __future__ import annotations

import pytest

from quorate.metering.account import IdleBaseline


def test_nothing_is_idle_before_anything_was_seen() -> None:
    assert IdleBaseline().watts == 0.0


def test_a_few_disturbed_windows_do_not_raise_the_baseline() -> None:
    baseline = IdleBaseline()
    for second in range(40):
        baseline.observe(120.0 if second % 3 == 0 else 30.0, 1.0)
    assert baseline.watts == pytest.approx(30.0)


def test_short_windows_count_by_their_length() -> None:
    baseline = IdleBaseline()
    for _ in range(5):
        baseline.observe(30.0, 1.0)
        baseline.observe(0.01, 0.01)
    assert baseline.watts == pytest.approx(30.0)


def test_it_follows_a_machine_that_changed() -> None:
    baseline = IdleBaseline()
    for watts in [30.0] * 64 + [50.0] * 64:
        baseline.observe(watts, 1.0)
    assert baseline.watts == pytest.approx(50.0)


def test_a_window_of_no_length_teaches_nothing() -> None:
    baseline = IdleBaseline()
    baseline.observe(5.0, 0.0)
    assert baseline.watts == 0.0
