from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.alignments.bytes.transcript import WordBuilder
from quorate.request import Token, TopCandidate, Vote

END = b""


def vote(piece: bytes, logprob: float = -1.0, *, model: str = "a", chosen: float = -2.0) -> Vote:
    return Vote(model, piece, logprob, 0.5, chosen)


def word(*steps: Token) -> Token:
    builder = WordBuilder()
    for step in steps:
        assert builder.push(step) == ()
    (token,) = builder.finish()
    return token


def steps(text: bytes, *favourites: Vote) -> list[Token]:
    """One vote for each byte."""
    return [
        Token(None, bytes((byte,)), -0.5, (), (top_piece,))
        for byte, top_piece in zip(text, favourites, strict=True)
    ]


def test_a_word_is_told_when_the_next_one_begins_and_the_last_at_the_end() -> None:
    builder = WordBuilder()
    told = [
        token for byte in b"the cat" for token in builder.push(Token(None, bytes((byte,)), -0.25))
    ]
    assert [token.piece for token in told] == [b"the"]
    assert told[0].logprob == -0.75
    (last,) = builder.finish()
    assert (last.piece, last.logprob, last.token_id) == (b" cat", -1.0, None)
    assert builder.finish() == ()


@given(st.text(max_size=30))
def test_no_byte_is_lost_and_none_is_told_twice(text: str) -> None:
    data = text.encode("utf-8", errors="ignore")
    builder = WordBuilder()
    told = [token for byte in data for token in builder.push(Token(None, bytes((byte,)), -1.0))]
    told += builder.finish()
    assert b"".join(token.piece for token in told) == data
    assert sum(token.logprob for token in told) == -len(data)


def test_a_member_that_agrees_votes_for_the_word() -> None:
    token = word(*steps(b"cat", vote(b"ca", -0.5), vote(b"at", -9), vote(b"t", -0.25)))
    (cast,) = token.votes
    assert cast == Vote("a", b"cat", -6.0, 0.5, -6.0)


def test_a_favourite_longer_than_the_word_is_a_vote_for_the_word() -> None:
    token = word(*steps(b"cat", vote(b"cats and", -0.5), vote(b"x"), vote(b"y")))
    (cast,) = token.votes
    assert cast.piece == b"cat"
    assert cast.logprob == cast.chosen_logprob


def test_a_member_that_leaves_in_mid_word_votes_for_what_it_wanted_from_there() -> None:
    token = word(*steps(b"cat", vote(b"ca", -0.5), vote(b"zz"), vote(b"r", -0.25)))
    assert (token.votes[0].piece, token.votes[0].logprob) == (b"car", -0.75)


def test_a_member_that_wanted_another_word_says_so_from_its_first_byte() -> None:
    token = word(*steps(b"cat", vote(b"dog", -0.5), vote(b"at"), vote(b"t")))
    assert (token.votes[0].piece, token.votes[0].logprob) == (b"dog", -0.5)


@pytest.mark.parametrize(
    ("favourites", "piece", "logprob"),
    [
        ((vote(END, -0.5), vote(b"t")), b"", -0.5),
        ((vote(b"a", -0.5), vote(END, -0.25)), b"a", -0.75),
    ],
)
def test_a_member_that_would_have_ended_votes_for_as_much_as_it_wanted(
    favourites: tuple[Vote, ...], piece: bytes, logprob: float
) -> None:
    cast = word(*steps(b"at", *favourites)).votes[0]
    assert (cast.piece, cast.logprob) == (piece, logprob)


def test_a_member_that_was_dropped_within_a_word_has_no_vote_on_it() -> None:
    both = (vote(b"a"), vote(b"a", model="b"))
    token = word(
        Token(None, b"a", -0.5, (), both), Token(None, b"t", -0.5, (), (vote(b"t", model="b"),))
    )
    assert [cast.model for cast in token.votes] == ["b"]


def test_candidates_are_those_of_the_first_byte_and_one_tie_is_a_tie() -> None:
    first = (TopCandidate(None, b"a", -0.5), TopCandidate(None, b"b", -1.0))
    token = word(
        Token(None, b"a", -0.5, first),
        Token(None, b"t", -0.5, first[1:], tied=True),
        Token(None, b"e", 0),
    )
    assert token.top == first
    assert token.tied
    assert not word(Token(None, b"a", -0.5)).tied


def test_the_weight_of_a_vote_is_that_of_the_words_beginning() -> None:
    begun = Token(None, b"a", -0.5, (), (Vote("a", b"a", -1, 0.25, -1),))
    ended = Token(None, b"t", -0.5, (), (Vote("a", b"t", -1, 0.75, -3),))
    assert word(begun, ended).votes == (Vote("a", b"at", -4.0, 0.25, -4.0),)
