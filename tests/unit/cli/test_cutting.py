from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cli.cutting import Limits, Piece, next_piece

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=600)
PROSE = st.text("ab é\n", min_size=1, max_size=600)
LIMITS = st.builds(Limits, st.integers(16, 700), st.integers(1, 64))


def pieces_of(data: bytes, limits: Limits) -> list[Piece]:
    pieces = [next_piece(data, 0, limits)]
    while pieces[-1].end < len(data):
        pieces.append(next_piece(data, pieces[-1].end, limits))
    return pieces


def tokens_of_the_server(limits: Limits, prompt: str) -> int:
    """Tokens that are left for a continuation at worst, as ``ByteAlignment.margin`` has it."""
    left = limits.context - len(prompt.encode()) - 2
    return left - min(16 + 8 * limits.width, left // 2)


@given(text=TEXTS | PROSE, limits=LIMITS)
def test_pieces_join_to_the_text_and_follow_what_stands_before_them(
    text: str, limits: Limits
) -> None:
    data = text.encode()
    before = b""
    for piece in pieces_of(data, limits):
        assert piece.text
        assert before.endswith(piece.prompt.encode())
        before += piece.text.encode()
        assert len(before) == piece.end
    assert before == data


@given(text=TEXTS | PROSE, limits=LIMITS)
def test_every_piece_fits_the_context_whatever_the_tokenizer(text: str, limits: Limits) -> None:
    for piece in pieces_of(text.encode(), limits):
        needs = len(piece.text.encode()) + 1
        assert needs <= tokens_of_the_server(limits, piece.prompt)


@given(text=PROSE, limits=LIMITS)
def test_no_more_of_the_text_before_a_piece_would_fit(text: str, limits: Limits) -> None:
    data = text.encode()
    for piece in pieces_of(data, limits):
        size, prompt = len(piece.text.encode()), len(piece.prompt.encode())
        start = piece.end - size
        whole = prompt == start
        assert whole or limits.needed(prompt + 4, size) > limits.context


@given(limits=LIMITS)
def test_a_text_that_fits_is_one_piece(limits: Limits) -> None:
    data = b"a" * limits.alone()
    assert pieces_of(data, limits) == [Piece("", data.decode(), len(data))]
    assert len(pieces_of(data + b"a", limits)) > 1


@pytest.mark.parametrize("context", [512, 2048, 8192])
def test_a_prompt_of_the_same_size_fits_before_each_piece(context: int) -> None:
    limits = Limits(context)
    size = limits.behind_its_like()
    assert size >= (context - 128) // 2
    assert limits.before(size) >= size


def test_a_piece_ends_before_the_space_of_a_word_where_one_is_near() -> None:
    data = b"once upon a time there was a mill"
    limits = Limits(53, 1)
    assert limits.alone() == 26
    assert next_piece(data, 0, limits) == Piece("", "once upon a time there was", 26)
    assert next_piece(data[:-5] + b"-mill", 0, Limits(49, 1)).text == "once upon a time there"


def test_a_long_word_is_cut_between_code_points() -> None:
    data = "世".encode() * 40
    sizes = {len(piece.text.encode()) % 3 for piece in pieces_of(data, Limits(64, 1))}
    assert sizes == {0}


def test_halving_ends_with_one_code_point_without_a_prompt() -> None:
    data = "世界".encode()
    limits = Limits(512)
    while not limits.exhausted:
        limits = limits.halved()
    assert next_piece(data, 0, limits) == Piece("", "世", 3)
    assert next_piece(data, 3, limits) == Piece("", "界", 6)
