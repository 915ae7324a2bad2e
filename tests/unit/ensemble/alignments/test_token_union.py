"""Symbols of near-equal vocabularies, and how members' rows become rows over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.token_union import TokenUnion
from support.distributions import normalised
from support.vocabularies import END, family, id_of

MARKS = ("<|im_start|>", "<|im_end|>", "<think>", "<|x|>")
WORDS = (b"<tool>", b"<think>", b"<more>")

families = st.builds(
    family,
    marks=st.lists(st.sampled_from(MARKS), unique=True, max_size=4).map(tuple),
    ends=st.sampled_from(((), ("<|im_end|>",))),
    added=st.lists(st.sampled_from(WORDS), unique=True, max_size=3).map(tuple),
    unnamed=st.integers(0, 3),
)


def row_of(vocabulary: Vocabulary, seed: int = 0) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(0, 3, len(vocabulary)))


def united(union: TokenUnion, vocabulary: Vocabulary, row: np.ndarray) -> np.ndarray:
    out = np.full(len(union.vocabulary), np.nan, np.float32)
    union.view(vocabulary).write(row, out)
    return out


def text_of(vocabulary: Vocabulary, token: int) -> bytes:
    return vocabulary.pieces[token] or vocabulary.names.get(token, "").encode()


@settings(max_examples=25)
@given(st.lists(families, min_size=2, max_size=3), st.integers(0, 9))
def test_every_members_row_keeps_its_mass_and_every_token_its_symbol(
    vocabularies: list[Vocabulary], seed: int
) -> None:
    union = TokenUnion(vocabularies)
    for vocabulary in vocabularies:
        view, row = union.view(vocabulary), row_of(vocabulary, seed)
        over = united(union, vocabulary, row)
        assert np.exp(over.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
        (end,) = union.vocabulary.end_of_generation
        for token in range(len(vocabulary)):
            symbol = view.symbol(token)
            if symbol == end:
                continue
            assert view.token(symbol) == token
            assert over[symbol] == row[token]
            # A text that one of them spells is never lost.
            assert union.vocabulary.pieces[symbol] in (text_of(vocabulary, token), b"")
            if vocabulary.pieces[token]:
                assert union.vocabulary.pieces[symbol] == vocabulary.pieces[token]


@settings(max_examples=25)
@given(st.lists(families, min_size=2, max_size=3))
def test_what_has_the_same_text_is_one_symbol_whatever_its_id(
    vocabularies: list[Vocabulary],
) -> None:
    union = TokenUnion(vocabularies)
    by_text: dict[bytes, set[int]] = {}
    for vocabulary in vocabularies:
        counted: dict[bytes, int] = {}
        for token in range(600, len(vocabulary)):
            text = text_of(vocabulary, token)
            counted[text] = counted.get(text, 0) + 1
        for token in range(600, len(vocabulary)):
            text = text_of(vocabulary, token)
            # One vocabulary may hold a text twice, as a mark and as a word.
            if text and counted[text] == 1:
                by_text.setdefault(text, set()).add(union.view(vocabulary).symbol(token))
    twice = {b"<think>"}
    assert all(len(found) == 1 for text, found in by_text.items() if text not in twice)


def test_the_third_member_finds_what_only_the_second_has_under_an_id_of_its_own() -> None:
    first, second = family(marks=()), family(marks=MARKS[:1], added=(b"<tool>",))
    third = family(marks=(), added=(b"<tool>",))
    union = TokenUnion([first, second, third])
    symbols = {union.view(one).symbol(len(one) - 1) for one in (second, third)}
    assert len(symbols) == 1


def test_all_ends_are_one_symbol_also_where_another_member_does_not_end_there() -> None:
    base, chat = family(), family(ends=("<|im_end|>",))
    union = TokenUnion([base, chat])
    (end,) = union.vocabulary.end_of_generation
    for vocabulary in (base, chat):
        row = row_of(vocabulary)
        ends = [id_of(vocabulary, END), id_of(vocabulary, "<|im_end|>")]
        over = united(union, vocabulary, row)
        expected = np.logaddexp.reduce(row[ends].astype(np.float64))
        assert over[end] == pytest.approx(float(expected), abs=1e-6)
        assert np.isneginf(over[ends]).all()
        assert [union.symbol_of_id(token) for token in ends] == [end, end]
    assert union.symbol_of_id(5) == 5


def test_an_end_that_only_a_longer_vocabulary_has_is_meant_by_its_id() -> None:
    union = TokenUnion([family(marks=()), family(marks=("<|x|>", "<|end|>"), ends=("<|end|>",))])
    (end,) = union.vocabulary.end_of_generation
    assert [union.symbol_of_id(token) for token in (600, 601, 602)] == [end, 601, end]


def test_a_mark_that_is_text_in_another_member_is_text() -> None:
    plain, marked = family(marks=(), added=(b"<tool>",)), family(marks=("<tool>",))
    for order in ([plain, marked], [marked, plain]):
        union = TokenUnion(order)
        symbol = union.view(marked).symbol(id_of(marked, "<tool>"))
        assert symbol == union.view(plain).symbol(id_of(plain, "<tool>"))
        assert union.vocabulary.pieces[symbol] == b"<tool>"
        assert symbol not in union.vocabulary.control


def test_other_tokens_under_one_id_are_symbols_of_their_own() -> None:
    first, second = family(marks=("<|x|>",)), family(marks=("<|y|>",))
    union = TokenUnion([first, second])
    x, y = (
        union.view(one).symbol(id_of(one, text))
        for one, text in ((first, "<|x|>"), (second, "<|y|>"))
    )
    assert x != y
    assert union.view(first).token(y) is None
    assert union.view(second).token(x) is None
    assert x < union.longest < y
    assert {x, y} <= union.vocabulary.control
