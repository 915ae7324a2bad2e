"""Reported counts against what was seen: of two readings the dearer one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.remotes import RemoteUsage
from quorate.remotes.counts import Report, Seen, believed, read_report

SEEN = Seen(
    prompt_bytes=40, most_prompt_tokens=120, max_tokens=50, answer_bytes=32, estimated_tokens=10
)
BY_OURSELVES = RemoteUsage(None, None, 10)
FIELDS = ("prompt_tokens", "completion_tokens", "total_tokens")


def usage(prompt: Any, generated: Any, total: Any = None, **details: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": total}
    told = {name: value for name, value in counts.items() if value is not None}
    if "cached" in details:
        told["prompt_tokens_details"] = {"cached_tokens": details["cached"]}
    if "reasoning" in details:
        told["completion_tokens_details"] = {"reasoning_tokens": details["reasoning"]}
    return told


SOUND = {
    "plain": (usage(20, 10, 30), RemoteUsage(20, None, 10)),
    "without a total": (usage(20, 10), RemoteUsage(20, None, 10)),
    "cached": (usage(20, 10, 30, cached=16), RemoteUsage(20, 16, 10)),
    "cached beside the prompt": (usage(4, 10, cached=16), RemoteUsage(20, 16, 10)),
    "reasoning inside": (usage(20, 40, 60, reasoning=30), RemoteUsage(20, None, 40)),
    "reasoning outside": (usage(20, 10, 970, reasoning=940), RemoteUsage(20, None, 950)),
    "reasoning outside and not named": (usage(20, 10, 970), RemoteUsage(20, None, 950)),
    "more reasoning than answer": (usage(20, 10, 30, reasoning=30), RemoteUsage(20, None, 40)),
    "no total to tell where": (usage(20, 40, reasoning=30), RemoteUsage(20, None, 70)),
    "a total alone": (usage(20, None, 35), RemoteUsage(20, None, 15)),
    "a prompt of its own before ours": (usage(3000, 10, 3010), RemoteUsage(3000, None, 10)),
    "floats": (usage(20.0, 10.0, 30.0), RemoteUsage(20, None, 10)),
    "one field": (usage(None, 10), RemoteUsage(None, None, 10)),
}
DOUBTFUL = {
    "all zeros": (usage(0, 0, 0), RemoteUsage()),
    "more cached than can be": (usage(1, 10, 11, cached=965_602), BY_OURSELVES),
    "a negative one": (usage(-20, 10, -10), BY_OURSELVES),
    "negative cached": (usage(20, 10, 30, cached=-1_000_000), BY_OURSELVES),
    "a prompt of nothing": (usage(0, 10, 10), BY_OURSELVES),
    "too few for the answer": (usage(20, 1, 21), BY_OURSELVES),
    "no tokens of an answer": (usage(20, 0, 20), BY_OURSELVES),
    "a prompt that cannot be": (usage(10**15, 10), BY_OURSELVES),
    "an answer that cannot be": (usage(20, 10**15), RemoteUsage(None, None, 50)),
    "a total that cannot be": (usage(20, 10, 10**30), RemoteUsage(None, None, 50)),
    "less in total than in parts": (usage(20, 30, 10), RemoteUsage(None, None, 30)),
    "a long prompt of its own and a wrong answer": (
        usage(3000, 1, 3001),
        RemoteUsage(3000, None, 10),
    ),
    "not a number": (usage(20, float("nan")), BY_OURSELVES),
    "infinite": (usage(float("inf"), 10), BY_OURSELVES),
}


@pytest.mark.parametrize("case", SOUND)
def test_counts_that_agree_with_what_was_seen_are_believed(case):
    reported, expected = SOUND[case]
    assert believed(read_report(reported), SEEN) == (expected, ())


@pytest.mark.parametrize("case", DOUBTFUL)
def test_counts_that_cannot_be_are_told_and_the_dearer_reading_holds(case):
    reported, expected = DOUBTFUL[case]
    found, doubts = believed(read_report(reported), SEEN)
    assert found == expected
    assert doubts
    assert all(doubt.isprintable() and len(doubt) < 100 for doubt in doubts)


def test_a_long_prompt_that_is_counted_far_too_low_is_not_believed():
    seen = Seen(40_000, 40_100, 50, 32, 10)
    assert believed(read_report(usage(1, 10, 11)), seen)[0] == BY_OURSELVES


def test_no_report_says_nothing():
    assert believed(None, SEEN) == (RemoteUsage(), ())
    assert [read_report(value) for value in (None, 5, [], "x")] == [None] * 4


NUMBERS = st.none() | st.integers(-5, 10**20) | st.integers(-5, 400) | st.floats() | st.text()


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, NUMBERS)),
    NUMBERS,
    NUMBERS,
    st.builds(
        Seen,
        prompt_bytes=st.integers(0, 5000),
        most_prompt_tokens=st.integers(5000, 6000),
        max_tokens=st.integers(1, 1000),
        answer_bytes=st.integers(0, 5000),
        estimated_tokens=st.integers(0, 1000),
    ),
)
def test_whatever_is_reported_counts_are_possible_and_none_gives_a_discount(
    counts, cached, reasoning, seen
):
    reported = {
        **counts,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    found, doubts = believed(read_report(reported), seen)
    prompt, generated = found.prompt_tokens, found.generated_tokens
    assert prompt is None or 0 < prompt <= seen.most_prompt_tokens + 32_768
    assert generated is None or 0 <= generated <= max(
        seen.max_tokens + 131_072, seen.estimated_tokens
    )
    assert 0 <= (found.cached_prompt_tokens or 0) <= (prompt or 0)
    if doubts and generated is not None:
        assert generated >= seen.estimated_tokens
        assert not found.cached_prompt_tokens


@given(st.lists(st.builds(Report, *[st.none() | st.integers(0, 9)] * 5), min_size=1))
def test_a_later_report_takes_nothing_back(reports):
    joined = reports[0]
    for report in reports[1:]:
        joined = joined.joined(report)
    for name in ("prompt", "generated", "reasoning", "total"):
        known = [value for one in reports if (value := getattr(one, name)) is not None]
        assert getattr(joined, name) == max(known, default=None)
