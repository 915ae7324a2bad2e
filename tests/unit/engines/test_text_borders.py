from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.text_borders import MergeBorders, WordBorders

PIECES = (b"", b"a", b"b", b"th", b"e", b" the", b"n\n", b"of the", b"\xe3\x80", b"d\xe3")


def cut(text: str, size: int) -> list[str]:
    return list(WordBorders(PIECES).cut(text, size))


def cut_merged(text: str, size: int) -> list[str]:
    return list(MergeBorders(PIECES).cut(text, size))


@given(st.text(alphabet="ab dn\n.,'1\u3001\u00e9\udc80", max_size=200), st.integers(1, 40))
def test_pieces_join_to_the_text(text: str, size: int) -> None:
    assert "".join(cut(text, size)) == text
    assert "".join(cut_merged(text, size)) == text


@given(st.text(alphabet="abdn \n,.1'\u3001", max_size=200), st.integers(1, 40))
def test_every_piece_begins_behind_a_letter_that_no_token_joins_with_it(
    text: str, size: int
) -> None:
    pieces = cut(text, size)
    for before, piece in pairwise(pieces):
        assert before[-1].isalpha()
        assert piece[0] in " \n,\u3001"
        assert (before[-1], piece[0]) not in {("n", "\n"), ("f", " "), ("d", "\u3001")}


def test_a_piece_is_as_long_as_asked_where_there_are_borders() -> None:
    assert cut("ab ab ab ab ab", 6) == ["ab ab", " ab ab", " ab"]


@pytest.mark.parametrize("run", [" ", "\n", "a", "\u4f60", "1 ", ". ", "n\n", "'s"])
def test_a_run_without_a_border_stays_whole(run: str) -> None:
    assert cut(run * 300, 16) == [run * 300]


def test_a_run_without_a_border_ends_a_piece_at_the_first_border_behind_it() -> None:
    assert cut("." * 50 + "ab ab", 8) == ["." * 50 + "ab", " ab"]


@given(st.text(alphabet="abdehnot \n\r\u3001\u4f60\u00e9", max_size=200), st.integers(1, 40))
def test_without_words_a_piece_may_begin_wherever_no_token_reaches_across(
    text: str, size: int
) -> None:
    pieces = cut_merged(text, size)
    joined = {(a, b) for piece in PIECES for a, b in pairwise(piece)}
    for before, piece in pairwise(pieces):
        assert (before.encode()[-1], piece.encode()[0]) not in joined
        assert len(before) <= size or all(
            (a.encode()[-1], b.encode()[0]) in joined for a, b in pairwise(before[size:])
        )


def test_line_ends_that_no_token_joins_are_cut_without_words() -> None:
    assert cut_merged("\r\n" * 10, 4) == ["\r\n\r\n"] * 5
    assert cut_merged(" the" * 5, 4) == [" the"] * 5
