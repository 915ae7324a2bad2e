from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from quorate.ledger.windows import SLOTS, RollingWindow

HOUR = 3600.0


def test_what_was_spent_ages_out_after_the_length_of_the_window() -> None:
    window = RollingWindow(100, HOUR)
    window.spend(60, 1000.25)
    assert window.spent(1000.25 + HOUR) == 60
    assert window.spent(1001.0 + HOUR) == 0


def test_a_limit_of_nothing_lets_only_nothing_in() -> None:
    window = RollingWindow(0, HOUR)
    assert window.fits(0, 0.0)
    assert not window.fits(1, 0.0)


def test_room_is_free_when_enough_of_the_oldest_has_aged() -> None:
    window = RollingWindow(100, HOUR)
    window.spend(50, 0.0)
    window.spend(50, 60.0)
    assert window.seconds_until_fits(50, 100.0) == 1.0 + HOUR - 100.0
    assert window.seconds_until_fits(51, 100.0) == 61.0 + HOUR - 100.0
    assert window.seconds_until_fits(0, 100.0) == 0.0
    assert window.seconds_until_empty(100.0) == 61.0 + HOUR - 100.0


def test_what_never_fits_waits_as_long_as_a_window_is() -> None:
    window = RollingWindow(100, HOUR)
    assert window.seconds_until_fits(101, 0.0) == HOUR


def test_what_is_only_held_is_worth_another_try_soon() -> None:
    window = RollingWindow(100, HOUR)
    window.spend(50, 0.0)
    window.hold(50)
    assert window.seconds_until_fits(50, 100.0) == 1.0
    # Half of it was spent, and has to age whatever becomes of the hold.
    assert window.seconds_until_fits(51, 100.0) == 1.0 + HOUR - 100.0
    window.release(50)
    assert window.seconds_until_fits(50, 100.0) == 0.0


def test_a_burst_and_a_refill_do_not_add_up_to_twice_the_limit() -> None:
    # A token bucket of this size would let 200 through between second 3599 and second 7199.
    window = RollingWindow(100, HOUR)
    passed = deque[float]()
    for second in range(3599, 7199):
        if window.fits(1, second):
            window.spend(1, second)
            passed.append(second)
    assert len(passed) == 100


def test_memory_is_bounded_however_much_is_spent() -> None:
    window = RollingWindow(10**9, HOUR)
    for step in range(20_000):
        window.spend(1, step * 0.5)
    assert window.spent(10_000.0) <= 7202
    # What is remembered apart ages out apart.
    left = {window.spent(10_000.0 + quarter / 4) for quarter in range(4 * 3700)}
    assert 0 in left
    assert len(left - {0}) <= SLOTS + 2


steps = st.lists(st.tuples(st.floats(0, 2000), st.integers(0, 60)), max_size=60)


@given(steps, st.sampled_from([HOUR, 24 * HOUR]), st.floats(0, 1e9))
def test_no_stretch_of_the_windows_length_ever_holds_more_than_the_limit(
    steps: list[tuple[float, int]], seconds: float, start: float
) -> None:
    window = RollingWindow(100, seconds)
    now = start
    spent: list[tuple[float, int]] = []
    for wait, amount in steps:
        now += wait
        if window.fits(amount, now):
            window.spend(amount, now)
            spent.append((now, amount))
        true = sum(amount for at, amount in spent if at > now - seconds)
        assert true <= window.spent(now) <= 100
        # No more than a slot too long.
        late = sum(a for at, a in spent if at > now - seconds * (1 + 1 / SLOTS) - 1e-3)
        assert window.spent(now) <= late


@given(steps, st.integers(0, 100))
def test_enough_is_free_when_it_was_said_to_be_and_not_before(
    steps: list[tuple[float, int]], ask: int
) -> None:
    window = RollingWindow(100, HOUR)
    now = 0.0
    for wait, amount in steps:
        now += wait
        window.spend(amount, now)
    wait = window.seconds_until_fits(ask, now)
    if wait > 0.01:
        assert not window.fits(ask, now + wait - 0.01)
    assert window.fits(ask, now + wait + 1e-6)
