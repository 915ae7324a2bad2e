"""What answers say: which of them are taken for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.comparing import plain_text, reading
from quorate.request import Comparison


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (" Paris. ", "paris", True),
        ('"Paris"!', "PARIS", True),
        ("a  b", "a\nb", True),
        ("- Paris", "Paris", True),
        ("5", "-5", False),
        ("-5", "\N{MINUS SIGN}5", True),
        ("(-5)", "-5.", True),
        ("50%", "50", False),
        ("50 %.", "50%", True),
        ("100 % sure", "100% sure", True),
        (".5", "5", False),
        ("-.5", "-.5!", True),
        ("-$5", "$5", False),
        ("-\N{EURO SIGN}5", "-\N{EURO SIGN}5.", True),
        ("-\N{EURO SIGN}5", "\N{EURO SIGN}5", False),
        ("\N{NON-BREAKING HYPHEN}5", "-5", True),
        ("...5", "5", True),
        ("... and so on", "and so on", True),
        ("x-ray", "x ray", False),
        ("5-", "5", True),
    ],
)
def test_texts_are_compared_without_case_spaces_and_punctuation_that_says_nothing(
    one: str, other: str, same: bool
) -> None:
    assert (plain_text(one) == plain_text(other)) is same


@given(st.text(max_size=20))
def test_what_a_text_says_does_not_change_by_being_said_again(text: str) -> None:
    assert plain_text(plain_text(text)) == plain_text(text)


@pytest.mark.parametrize(
    ("answer", "number"),
    [("-5", "-5"), ("so 5", "5"), ("it is 1,234.50", "1234.5"), ("-0", "0"), ("none", None)],
)
def test_a_number_is_the_last_one_with_its_sign(answer: str, number: str | None) -> None:
    assert reading(answer, Comparison.NUMERIC) == number
