from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import NotFound
from quorate.foreign_text import LINE_CHARACTERS, harmless, nearest_names, one_line, quoted

TITLE = "a\x1b]0;owned\x07b\x9b31mc"


@given(st.text(max_size=300), st.integers(2, 300))
def test_a_line_prints_is_short_and_starts_as_the_text_does(text: str, most: int) -> None:
    line = one_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
    if text.isprintable() and len(text) <= most:
        assert line == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain €", "plain €"),
        (TITLE, "a\\x1b]0;owned\\x07b\\x9b31mc"),
        ("a\nb\tc\u2028d\u00a0e", "a b c d e"),
        ("right\u202eleft", "right\\u202eleft"),
        ("half\ud800", "half\\ud800"),
        ("a\x1fb", "a\\x1fb"),
        ("x" * 3000, "x" * (LINE_CHARACTERS - 1) + "…"),
        ("\x00" * 3000, "\\x00" * 499 + "\\x0…"),
    ],
)
def test_nothing_in_a_line_forges_another_or_acts_on_a_terminal(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text(max_size=300))
def test_an_answer_on_a_terminal_keeps_all_but_control_characters(text: str) -> None:
    shown = harmless(text)
    assert not any(c < " " and c not in "\n\t" for c in shown)
    assert not any("\x7f" <= c <= "\x9f" for c in shown)
    if not any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in text):
        assert shown == text


@pytest.mark.parametrize(
    "text",
    [
        "a\n\tb",
        "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}",
        "\N{ARABIC LETTER MEEM}\N{ZERO WIDTH NON-JOINER}\N{ARABIC LETTER KHAH}",
        "10\N{NO-BREAK SPACE}\N{EURO SIGN}",
        "\N{RIGHT-TO-LEFT ISOLATE}\N{HEBREW LETTER ALEF}\N{POP DIRECTIONAL ISOLATE}",
    ],
)
def test_an_answer_keeps_what_languages_need(text: str) -> None:
    assert harmless(text) == text


def test_an_answer_cannot_change_the_title_of_a_terminal() -> None:
    assert harmless(TITLE) == "a\\x1b]0;owned\\x07b\\x9b31mc"


def test_a_quotation_is_short() -> None:
    assert quoted("a") == "'a'"
    assert quoted("x" * 64) == f"'{'x' * 64}'"
    assert quoted("x" * 65) == f"'{'x' * 63}'…"


def test_a_name_of_megabytes_is_looked_up_at_once_and_quoted_in_part() -> None:
    known = [f"model-{index}" for index in range(500)]
    started = time.process_time()
    error = NotFound("model", "model-" * 2_000_000, known)
    # Compared as a whole with every name it would be minutes.
    assert time.process_time() - started < 5.0
    assert len(error.message) < 400
    assert len(error.metadata["name"]) <= 64
    assert error.nearest == ()


def test_names_of_megabytes_that_are_known_are_told_in_part() -> None:
    error = NotFound("model", "b", ["a" * 1_000_000])
    assert len(error.message) < 200


def test_the_nearest_of_many_names_are_found() -> None:
    known = [f"model-{index}" for index in range(5000)] + ["gemma"]
    assert nearest_names("gema", known, 3) == ["gemma"]
    assert nearest_names("x" * 65, ["x" * 65], 3) == []
