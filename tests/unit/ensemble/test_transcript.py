from __future__ import annotations

import pytest

from quorate.ensemble.transcript import AnswerText, Grown
from quorate.request import FinishReason, StoppingOptions


def test_a_byte_limit_before_a_stop_string_in_one_piece_is_the_end() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=3, stop=("STOP",)))
    assert answer.push(b"abcdSTOP") == Grown("abc", FinishReason.MAX_BYTES)


def test_a_code_point_cut_by_the_limit_before_a_stop_string_is_left_out() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=2, stop=("STOP",)))
    assert answer.push("a€STOP".encode()) == Grown("a", FinishReason.MAX_BYTES)


def test_a_held_back_text_that_the_byte_limit_cuts_ends_for_that_reason() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=9, stop=("the mat",)))
    assert answer.push(b"sat on the") == Grown("sat on ", None)
    assert answer.finish() == Grown("th", FinishReason.MAX_BYTES)


def test_a_held_back_text_within_the_limit_comes_whole() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=11, stop=("the mat",)))
    answer.push(b"sat on the")
    assert answer.finish() == Grown("the", None)


@pytest.mark.parametrize("piece", [b"\xff", "€".encode()[:2] + b"a", "é".encode(), b"ab"])
@pytest.mark.parametrize("limit", range(1, 12))
def test_the_text_never_has_more_bytes_than_allowed(piece: bytes, limit: int) -> None:
    answer = AnswerText(StoppingOptions(max_bytes=limit))
    text = ""
    for _ in range(20):
        grown = answer.push(piece)
        text += grown.text
        if grown.ended:
            break
    assert grown.ended is FinishReason.MAX_BYTES
    assert len(text.encode()) <= limit
    whole = (piece * 20).decode(errors="replace")
    assert whole.startswith(text)
    assert len((text + whole[len(text)]).encode()) > limit or len(text.encode()) == limit


def test_a_code_point_begun_that_cannot_fit_ends_the_answer_at_once() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=2))
    assert answer.push(b"a") == Grown("a", None)
    assert answer.push("€".encode()[:1]) == Grown("", FinishReason.MAX_BYTES)
