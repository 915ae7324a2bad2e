from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.metering.counters import RisingTotal

RANGE = 1000


def test_a_wrapped_register_goes_on_rising() -> None:
    total = RisingTotal(RANGE)
    assert [total.follow(register) for register in (900, 990, 30, 40)] == [0, 90, 130, 140]


def test_a_register_that_was_set_back_adds_nothing_unknown() -> None:
    total = RisingTotal(RANGE)
    assert [total.follow(register) for register in (100, 400, 0, 5)] == [0, 300, 300, 305]


def test_a_register_without_a_range_never_wraps() -> None:
    total = RisingTotal()
    assert [total.follow(register) for register in (100, 700, 3, 4)] == [0, 600, 600, 601]


@given(st.lists(st.integers(0, RANGE // 2 - 1)), st.integers(0, RANGE - 1))
def test_whatever_is_spent_between_readings_is_counted_once(spent: list[int], start: int) -> None:
    total, register = RisingTotal(RANGE), start
    total.follow(register)
    for step in spent:
        register = (register + step) % RANGE
        total.follow(register)
    assert total.follow(register) == sum(spent)
