from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.remotes.failures import excerpt


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


@given(st.text("abcdef0123456789", min_size=8, max_size=40), st.data())
def test_no_part_of_the_key_is_shown(key, data):
    start = data.draw(st.integers(0, len(key) - 6))
    assert excerpt(f"Incorrect key: {key[start : start + 6]}***", [], key) == ""
