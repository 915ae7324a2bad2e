"""Where the time of a step goes: parts that add up to what passed, whatever happens at once."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.step_clock import StepClock


class Hands:
    """A clock that is moved by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def begun(hands: Hands) -> StepClock:
    clock = StepClock(hands)
    hands.pass_by(5.0)
    clock.rows([9.0, 9.0])
    return clock


def test_what_passes_before_the_first_rows_is_no_part() -> None:
    assert sum(astuple(begun(Hands()).times)) == 0


def test_every_part_of_a_step_has_its_own_time() -> None:
    hands = Hands()
    clock = begun(hands)
    hands.pass_by(0.001)
    clock.turn()
    hands.pass_by(0.002)
    clock.combined()
    hands.pass_by(0.004)
    clock.chosen()
    clock.tell([9.0, 9.0])
    clock.writes()
    hands.pass_by(0.008)
    clock.written()
    hands.pass_by(0.024)
    # Both worked in turn: the second waited for the first, which its engine counts.
    clock.rows([9.010, 9.020])
    times = clock.times
    assert times.turns_ms == pytest.approx(1)
    assert times.combine_ms == pytest.approx(2)
    assert times.sample_ms == pytest.approx(4)
    assert times.decode_ms == pytest.approx(20)
    # The models computed for 20 ms of the 32, so of the writing 8 are left, and the way took 4.
    assert times.stream_ms == pytest.approx(8)
    assert times.exchange_ms == pytest.approx(4)


def test_a_member_that_goes_ahead_and_those_that_follow_work_one_after_the_other() -> None:
    hands = Hands()
    clock = begun(hands)
    clock.tell([1.0, 1.0])
    hands.pass_by(0.03)
    clock.led([1.03, 1.0])
    hands.pass_by(0.05)
    clock.rows([1.03, 1.04])
    assert clock.times.decode_ms == pytest.approx(70)
    assert clock.times.exchange_ms == pytest.approx(10)


@pytest.mark.parametrize("worked", [[0.0, 0.0], [5.0]])
def test_of_a_worker_that_was_lost_no_work_is_known(worked: list[float]) -> None:
    hands = Hands()
    clock = begun(hands)
    clock.tell([7.0, 7.0])
    hands.pass_by(0.5)
    clock.rows(worked)
    assert clock.times.decode_ms == 0
    assert clock.times.exchange_ms == pytest.approx(500)


_SECONDS = st.floats(0, 10)
_STEP = st.tuples(_SECONDS, _SECONDS, _SECONDS, _SECONDS, _SECONDS, _SECONDS, _SECONDS)


@given(st.lists(_STEP, max_size=6))
def test_the_parts_add_up_to_what_passed_since_the_first_rows(steps: list[tuple[float]]) -> None:
    hands = Hands()
    clock = begun(hands)
    first = hands.now
    engine = 0.0
    for turn, combine, choose, tell, write, rest, work in steps:
        for seconds, ends in (
            (turn, clock.turn), (combine, clock.combined), (choose, clock.chosen),
        ):  # fmt: skip
            hands.pass_by(seconds)
            ends()
        clock.tell([engine])
        for seconds, ends in ((tell, clock.writes), (write, clock.written)):
            hands.pass_by(seconds)
            ends()
        hands.pass_by(rest)
        engine += work
        clock.rows([engine])
    assert sum(astuple(clock.times)) == pytest.approx(1e3 * (hands.now - first))
    assert min(astuple(clock.times)) >= 0
