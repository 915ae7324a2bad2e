from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.dispatch.activity import Activity, ActivitySpan
from support.clocks import Clock


def test_a_request_alone_is_one_on_average() -> None:
    clock = Clock()
    activity = Activity(clock)
    span = activity.begin(["a", "b"])
    assert activity.now == {"a": 1, "b": 1}
    clock.now = 5.0
    assert activity.end(span) == 1.0
    assert activity.now == {"a": 0, "b": 0}


def test_the_busiest_model_counts_over_the_whole_span() -> None:
    """Of ten seconds, model b has a second request for four and a third for one."""
    clock = Clock()
    activity = Activity(clock)
    span = activity.begin(["a", "b"])
    clock.now = 2.0
    second = activity.begin(["b"])
    clock.now = 3.0
    third = activity.begin(["b"])
    clock.now = 4.0
    assert activity.end(third) == 3.0
    clock.now = 6.0
    assert activity.end(second) == pytest.approx((2 * 3 + 3) / 4)
    clock.now = 10.0
    assert activity.end(span) == pytest.approx((10 + 4 + 1) / 10)


def test_a_span_that_took_no_time_was_alone() -> None:
    activity = Activity(Clock())
    activity.begin(["a"])
    assert activity.end(activity.begin(["a"])) == 1.0
    assert activity.now == {"a": 1}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.floats(0, 10))))
def test_counts_are_those_that_have_not_ended(steps: list[tuple[bool, str, float]]) -> None:
    clock = Clock()
    activity = Activity(clock)
    open_spans: list[ActivitySpan] = []
    most = 1
    for begins, model, seconds in steps:
        clock.now += seconds
        if begins:
            open_spans.append(activity.begin([model]))
        elif open_spans:
            assert 1.0 <= activity.end(open_spans.pop(0)) <= most + 1e-9
        for one in "abc":
            count = sum(one in span.before for span in open_spans)
            assert activity.now.get(one, 0) == count
            most = max(most, count)


def test_several_answers_made_at_once_count_as_so_many_requests() -> None:
    clock = Clock()
    activity = Activity(clock)
    span, beside = activity.begin(["a"], 3), activity.begin(["a"])
    assert activity.now == {"a": 4}
    clock.now = 2.0
    assert activity.end(beside) == 4.0
    assert activity.end(span) == 4.0
    assert activity.now == {"a": 0}
