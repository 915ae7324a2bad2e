from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.dispatch.activity import Activity, Visit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_request_alone_is_one_on_average() -> None:
    clock = Clock()
    activity = Activity(clock)
    visit = activity.enter(["a", "b"])
    assert activity.now == {"a": 1, "b": 1}
    clock.now = 5.0
    assert activity.leave(visit) == 1.0
    assert activity.now == {"a": 0, "b": 0}


def test_the_busiest_model_counts_over_the_whole_visit() -> None:
    """Of ten seconds, model b has a second request for four and a third for one."""
    clock = Clock()
    activity = Activity(clock)
    visit = activity.enter(["a", "b"])
    clock.now = 2.0
    second = activity.enter(["b"])
    clock.now = 3.0
    third = activity.enter(["b"])
    clock.now = 4.0
    assert activity.leave(third) == 3.0
    clock.now = 6.0
    assert activity.leave(second) == pytest.approx((2 * 3 + 3) / 4)
    clock.now = 10.0
    assert activity.leave(visit) == pytest.approx((10 + 4 + 1) / 10)


def test_a_visit_that_took_no_time_was_alone() -> None:
    activity = Activity(Clock())
    activity.enter(["a"])
    assert activity.leave(activity.enter(["a"])) == 1.0
    assert activity.now == {"a": 1}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.floats(0, 10))))
def test_counts_are_those_who_came_and_have_not_left(steps: list[tuple[bool, str, float]]) -> None:
    clock = Clock()
    activity = Activity(clock)
    inside: list[Visit] = []
    most = 1
    for enters, model, seconds in steps:
        clock.now += seconds
        if enters:
            inside.append(activity.enter([model]))
        elif inside:
            assert 1.0 <= activity.leave(inside.pop(0)) <= most + 1e-9
        for one in "abc":
            count = sum(one in visit.models for visit in inside)
            assert activity.now.get(one, 0) == count
            most = max(most, count)
