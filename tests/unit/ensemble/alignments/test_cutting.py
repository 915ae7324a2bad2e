"""How a tokenizer will probably cut a text, by the order of its ids."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.byte_order import ByteOrder
from quorate.ensemble.alignments.bytes.cutting import Cutter

BYTES = [bytes((byte,)) for byte in range(256)]
MERGED = [
    b"th",
    b"the",
    b" t",
    b" the",
    b"he",
    b"er",
    b"ther",
    b"  ",
    b"    ",
    b"\n\n",
    b" 1",
    b"12",
]


def cut(pieces: Sequence[bytes], text: bytes) -> list[bytes]:
    return [pieces[token] for token in Cutter(ByteOrder(pieces, ())).cut(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # "th" is merged before "he", and so "the" before "er".
        (b"the", [b"the"]),
        (b"there", [b"ther", b"e"]),
        # The space before a word goes with it; the others stand together before it.
        (b"a the", [b"a", b" the"]),
        (b"     x", [b"    ", b" ", b"x"]),
        # Digits are no part of the word before them.
        (b"12 3", [b"12", b" ", b"3"]),
    ],
)
def test_neighbours_are_merged_in_the_order_of_their_ids(text: bytes, parts: list[bytes]) -> None:
    # In another order than SentencePiece's, whose tokens for all bytes stand in a row.
    assert cut([*reversed(BYTES), *MERGED], text) == parts


def test_where_nothing_but_merging_finds_tokens_words_are_no_borders() -> None:
    pieces = [*BYTES, b"  ", b"    ", b"     x", b" x", b"     "]
    assert cut(pieces, b"     x") == [b"     x"]
    assert cut([*reversed(BYTES), *pieces[256:]], b"     x") == [b"    ", b" x"]


def test_it_ends_where_no_token_goes_on() -> None:
    pieces = [b"a", b"b", b"ab", b" "]
    assert cut(pieces, b"ab abcab") == [b"ab", b" ", b"ab"]
    assert cut(pieces, b"") == []


@given(st.binary(max_size=60))
def test_the_parts_make_up_the_text(text: bytes) -> None:
    assert b"".join(cut([*reversed(BYTES), *MERGED], text)) == text
    assert b"".join(cut([*BYTES, *MERGED], text)) == text
