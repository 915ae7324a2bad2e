from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.ensemble.alignments.bytes.words import WordCutter

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


def cut(text: str) -> list[str]:
    cutter = WordCutter()
    pieces = [b""]
    for byte in text.encode():
        begun = cutter.push(byte)
        pieces[-1] += bytes((byte,))
        if begun:
            pieces[-1], last = pieces[-1][:-begun], pieces[-1][-begun:]
            pieces.append(last)
    return [piece.decode() for piece in pieces if piece]


@pytest.mark.parametrize(
    "pieces",
    [
        ["the", " cat", " sat"],
        ["one", ",", " two", "!"],
        ["don", "'", "t"],
        ["x1", " =", " snake_case", "(", ")", ";"],
        ["end", "\n\n    indented"],
        ["日", "本", "語"],
        ["größer", " été"],
        ["e\u0301te\u0301"],
        [FAMILY, "a"],
        ["नमस्ते", " दुनिया"],
        ["\u0645\u0631\u062d\u0628\u0627", " \u0639\u0627\u0644\u0645"],
        ["3", ".", "14"],
        ["  leading"],
    ],
)
def test_words_marks_and_ideographs_are_pieces(pieces: list[str]) -> None:
    assert cut("".join(pieces)) == pieces


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_the_pieces_join_to_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


@given(st.text(st.sampled_from("ab e\u0301\u200d日\U0001f468,\n"), max_size=40))
def test_no_piece_begins_with_what_belongs_to_the_last_character(text: str) -> None:
    for piece in cut(text)[1:]:
        assert unicodedata.category(piece[0]) not in ("Mn", "Mc", "Me")
        assert piece[0] != "\u200d"


@pytest.mark.parametrize("run", ["a" * 1000, " " * 1000, "9" * 500])
def test_a_piece_has_a_most_size(run: str) -> None:
    pieces = cut(run)
    assert "".join(pieces) == run
    assert max(len(piece.encode()) for piece in pieces) <= 32


def test_a_piece_is_told_as_soon_as_the_next_begins() -> None:
    cutter = WordCutter()
    assert [cutter.push(byte) for byte in "a €".encode()] == [0, 1, 0, 0, 0]
    cutter = WordCutter()
    assert [cutter.push(byte) for byte in "日本".encode()] == [0, 0, 0, 0, 0, 3]
