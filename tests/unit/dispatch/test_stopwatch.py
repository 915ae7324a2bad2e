from __future__ import annotations

import pytest

from quorate.dispatch.stopwatch import Stopwatch
from support.clocks import Clock


def test_the_time_to_the_first_token_counts_from_the_arrival_and_later_ones_change_nothing() -> (
    None
):
    clock = Clock(1000.0)
    watch = Stopwatch(clock)
    clock.now += 0.25
    watch.token()
    clock.now += 1.0
    watch.token()
    assert watch.time_to_first_token_ms == pytest.approx(250.0)


def test_without_a_token_there_is_no_time_to_it() -> None:
    clock = Clock(1000.0)
    watch = Stopwatch(clock)
    clock.now += 1.0
    assert watch.time_to_first_token_ms is None


def test_a_token_at_the_moment_of_arrival_took_no_time() -> None:
    watch = Stopwatch(Clock(0.0))
    watch.token()
    assert watch.time_to_first_token_ms == 0.0


def test_the_duration_goes_on() -> None:
    clock = Clock(1000.0)
    watch = Stopwatch(clock)
    assert watch.duration_ms == 0.0
    clock.now += 0.5
    watch.token()
    assert watch.duration_ms == pytest.approx(500.0)
    clock.now += 1.5
    assert watch.duration_ms == pytest.approx(2000.0)


def test_its_own_clock_never_runs_backwards() -> None:
    watch = Stopwatch()
    first = watch.duration_ms
    assert 0.0 <= first <= watch.duration_ms
