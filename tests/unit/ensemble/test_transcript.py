from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.alignments.bytes.transcript import WordTranscript
from quorate.ensemble.transcript import AnswerText, Grown, Transcript
from quorate.request import Delta, FinishReason, StoppingOptions, Token, Vote


def test_a_byte_limit_before_a_stop_string_in_one_piece_is_the_end() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=3, stop=("STOP",)))
    assert answer.push(b"abcdSTOP") == Grown("abc", FinishReason.MAX_BYTES, 3)


def test_a_code_point_cut_by_the_limit_before_a_stop_string_is_left_out() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=2, stop=("STOP",)))
    assert answer.push("a€STOP".encode()) == Grown("a", FinishReason.MAX_BYTES, 1)


def test_a_held_back_text_that_the_byte_limit_cuts_ends_for_that_reason() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=9, stop=("the mat",)))
    assert answer.push(b"sat on the") == Grown("sat on ", None, 7)
    assert answer.finish() == Grown("th", FinishReason.MAX_BYTES, 2)


def test_a_held_back_text_within_the_limit_comes_whole() -> None:
    answer = AnswerText(StoppingOptions(max_bytes=11, stop=("the mat",)))
    answer.push(b"sat on the")
    assert answer.finish() == Grown("the", None, 3)


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
    assert answer.push(b"a") == Grown("a", None, 1)
    assert answer.push("€".encode()[:1]) == Grown("", FinishReason.MAX_BYTES, 0)


def told(transcript: Transcript, pieces: list[bytes]) -> tuple[str, list[bytes], FinishReason]:
    """Text, pieces and end of an answer of these tokens, ended by the models at the latest."""
    text, spelt = "", []
    for number, piece in enumerate(pieces):
        ends = FinishReason.MAX_TOKENS if number == len(pieces) - 1 else None
        for step in transcript.add(Token(number, piece, -0.5), ends):
            if isinstance(step, Delta):
                text += step.text
                spelt += [token.piece for token in step.tokens]
                # Text may be ahead of its tokens, and never behind them.
                assert text.encode().startswith(b"".join(spelt)) or "\ufffd" in text
            else:
                return text, spelt, step
    (*steps, reason) = transcript.end(FinishReason.END_OF_GENERATION)
    for step in steps:
        assert isinstance(step, Delta)
        text += step.text
        spelt += [token.piece for token in step.tokens]
    assert isinstance(reason, FinishReason)
    return text, spelt, reason


_ALPHABET = "ab#é€😀"
_TEXTS = st.text(_ALPHABET, max_size=24)
_STOPPING = st.builds(
    StoppingOptions,
    stop=st.lists(st.text(_ALPHABET, min_size=1, max_size=4), max_size=2).map(tuple),
    max_bytes=st.none() | st.integers(1, 40),
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data] if data else pieces


@given(_TEXTS, st.lists(st.integers(1, 6), max_size=24), _STOPPING)
def test_the_pieces_of_an_answer_are_the_bytes_of_its_text(
    text: str, sizes: list[int], stopping: StoppingOptions
) -> None:
    pieces = [piece for piece in cut(text.encode(), sizes) if piece]
    shown, spelt, reason = told(Transcript(stopping), pieces)
    assert b"".join(spelt) == shown.encode()
    # Whatever is cut off, the tokens that were decided are all told.
    assert len(spelt) == len(pieces) or reason in (
        FinishReason.STOP_STRING,
        FinishReason.MAX_BYTES,
    )
    assert not any(stop in shown for stop in stopping.stop)


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=12), st.integers(0, 3), _STOPPING)
def test_bytes_that_are_no_utf8_stay_in_the_pieces_and_are_marked_in_the_text(
    pieces: list[bytes], begun: int, stopping: StoppingOptions
) -> None:
    pieces = [*pieces, "😀".encode()[: begun + 1]]
    shown, spelt, _ = told(Transcript(stopping), pieces)
    assert b"".join(spelt).decode(errors="replace") == shown


@given(_TEXTS, _STOPPING)
def test_the_words_of_an_answer_are_the_bytes_of_its_text(
    text: str, stopping: StoppingOptions
) -> None:
    pieces = [bytes((byte,)) for byte in text.encode()]
    shown, spelt, reason = told(WordTranscript(stopping), pieces)
    assert b"".join(spelt) == shown.encode()
    assert all(spelt)
    as_tokens = told(Transcript(stopping), pieces)
    assert (shown, reason) == (as_tokens[0], as_tokens[2])


def test_a_token_that_a_stop_string_takes_whole_is_told_without_bytes() -> None:
    stopping = StoppingOptions(stop=("###",))
    text, spelt, reason = told(Transcript(stopping), [b"so", b" #", b"##", b"more"])
    assert (text, spelt, reason) == ("so ", [b"so", b" ", b""], FinishReason.STOP_STRING)


def test_a_token_waits_for_what_may_be_a_stop_string_and_its_text_does_not() -> None:
    transcript = Transcript(StoppingOptions(stop=("###",)))
    first = Token(1, b"so #", -0.5)
    assert transcript.add(first) == (Delta("so ", ()),)
    second = Token(2, b"1", -0.5)
    assert transcript.add(second) == (Delta("#1", (first, second)),)


def test_a_code_point_begun_where_the_answer_ends_is_in_neither_text_nor_pieces() -> None:
    pieces = [b"ok", "😀".encode()[:2]]
    answer = told(Transcript(StoppingOptions()), pieces)
    assert answer == ("ok", [b"ok", b""], FinishReason.MAX_TOKENS)


def test_a_vote_for_a_token_that_is_cut_stays_one_for_it() -> None:
    votes = (
        Vote("for", b"ab\n", -0.1, 0.4, -0.1),
        Vote("other", b"a", -0.2, 0.3, -0.9),
        Vote("end", b"", -0.2, 0.3, -0.9),
    )
    for piece, left in ((b"ab\n", b"ab"), (b"\n", b"")):
        cast = (Vote("for", piece, -0.1, 0.4, -0.1), *votes[1:])
        steps = Transcript(StoppingOptions(stop=("\n",))).add(Token(1, piece, -0.5, votes=cast))
        [token] = [token for step in steps if isinstance(step, Delta) for token in step.tokens]
        assert token.piece == left
        assert [vote.is_for(token) for vote in token.votes] == [True, False, False]
        assert [vote.piece for vote in token.votes] == [left, b"a", b""]
