from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate import large_texts
from quorate.remotes.failures import (
    Failure,
    FailureKind,
    excerpt,
    retry_after_seconds,
    wait_seconds,
)

TRANSIENT = Failure(FailureKind.TRANSIENT, "x", retryable=True)
NOW = 1_700_000_000.0


def named(seconds: float) -> Failure:
    return Failure(FailureKind.QUOTA, "x", retryable=True, retry_after_seconds=seconds)


def test_the_ceiling_doubles_up_to_eight_seconds():
    waits = [wait_seconds(TRANSIENT, retry, None, lambda: 1.0) for retry in range(7)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_jitter_is_full():
    assert wait_seconds(TRANSIENT, 3, None, lambda: 0.0) == 0.0
    assert wait_seconds(TRANSIENT, 3, None, lambda: 0.25) == 1.0


def test_what_is_not_retryable_is_not_waited_for():
    assert wait_seconds(Failure(FailureKind.REFUSED, "x"), 0, None, lambda: 0.0) is None


def test_a_time_that_the_remote_names_is_waited_out_before_the_jitter():
    assert wait_seconds(named(7.0), 0, None, lambda: 0.5) == 7.25


def test_nobody_waits_for_more_than_a_minute():
    assert wait_seconds(named(60.0), 0, None, lambda: 0.0) == 60.0
    assert wait_seconds(named(60.1), 0, None, lambda: 0.0) is None


@given(
    st.floats(0, 100), st.integers(0, 1000), st.floats(-10, 100), st.floats(0, 1, exclude_max=True)
)
def test_no_wait_reaches_the_deadline_or_comes_before_the_named_time(after, retry, left, draw):
    wait = wait_seconds(named(after), retry, left, lambda: draw)
    assert wait is None or after <= wait < left


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("999999999", 86400.0),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (".", None),
        ("²", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Fri, 14 Nov 2093 22:00:00 GMT", 86400.0),
        ("Tue, 99 Nov 2023 22:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, expected):
    assert retry_after_seconds(value, NOW) == expected


@given(st.integers(0, 86400))
def test_a_date_means_the_time_until_then(seconds):
    assert retry_after_seconds(formatdate(NOW + seconds, usegmt=True), NOW) == seconds


@given(st.text(max_size=40))
def test_no_header_breaks_the_reader(value):
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or 0.0 <= seconds <= 86400.0


def test_harmless_words_are_shown_on_one_line():
    assert excerpt(" the model\n is\toverloaded\x00 ", ["a long question about otters"], "") == (
        "the model is overloaded"
    )


@pytest.mark.parametrize("message", [None, 5, ["text"], {"message": "text"}, ""])
def test_what_is_no_text_is_nothing(message):
    assert excerpt(message, [], "") == ""


def test_long_words_are_cut():
    shown = excerpt("a" * 10_000, [], "")
    assert len(shown) == 120
    assert shown.endswith("…")


def test_a_short_prompt_is_not_repeated_either():
    assert excerpt("you said: hello", ["hello"], "") == ""
    assert excerpt("you said nothing", ["hello"], "") == "you said nothing"


def test_an_empty_prompt_is_no_obstacle():
    assert excerpt("overloaded", ["", " \n"], "") == "overloaded"


@given(st.text(min_size=12, max_size=60), st.text(max_size=30), st.text(max_size=30), st.data())
def test_no_long_run_of_the_prompt_is_shown(prompt, before, after, data):
    start = data.draw(st.integers(0, len(prompt) - 12))
    size = data.draw(st.integers(12, len(prompt) - start))
    shown = excerpt(before + prompt[start : start + size] + after, [prompt], "")
    spaced = " ".join(prompt.split())
    assert not any(shown[at : at + 12] in spaced for at in range(len(shown) - 11))


@given(st.text("ab \n", max_size=40), st.text("ab ", max_size=30), st.integers(1, 9))
def test_a_prompt_is_looked_through_slice_by_slice(prompt, message, size):
    spaced, line = " ".join(prompt.split()), " ".join(message.split())
    with pytest.MonkeyPatch.context() as small:
        small.setattr(large_texts, "SLICE", size)
        shown = excerpt(message, [prompt], "")
    runs = [line[at : at + 12] for at in range(len(line) - 11)]
    shared = any(run in spaced for run in runs) or (0 < len(spaced) <= 12 and spaced in line)
    assert shown == ("" if shared else line)


@given(st.text("abcdef0123456789", min_size=8, max_size=40), st.data())
def test_no_part_of_the_key_is_shown(key, data):
    start = data.draw(st.integers(0, len(key) - 6))
    assert excerpt(f"Incorrect key: {key[start : start + 6]}***", [], key) == ""
