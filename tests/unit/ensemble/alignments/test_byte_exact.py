"""The central proof: the byte beam says what enumeration of all segmentations says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.byte_predictors import VOCABULARIES, started, toy_engine
from support.enumeration import END, Enumeration

EXACT = 1e-9
TEXTS = {
    "bpe": (b"", b"abcabc", b"cabab", b"bbbb"),
    "overlapping": (b"", b"abab", b"babba", b"aaab"),
    "duplicated": (b"", b"aab", b"abab", b"bbba"),
}
CASES = [(name, text) for name, texts in TEXTS.items() for text in texts]


async def agrees_with_enumeration(pieces: tuple[str, ...], text: bytes, **options: object) -> bool:
    """Asserts equality before every byte and behind the last; False where the beam was pruned."""
    options = {"pieces": list(pieces), **options}
    exact = Enumeration(**options)
    predictor = await started(toy_engine(**options))
    probability = 1.0
    for index, byte in enumerate([*text, None]):
        expected = exact.next_symbol(text[:index])
        assert predictor.state.probabilities == pytest.approx(expected, rel=EXACT, abs=EXACT)
        assert predictor.state.probabilities.sum() == pytest.approx(1.0, abs=1e-12)
        if byte is None:
            break
        probability *= predictor.state.probabilities[byte]
        assert probability == pytest.approx(exact.prefix(text[: index + 1]), rel=EXACT)
        await predictor.feed(byte)
        if predictor.dropped_mass:
            predictor.close()
            return False
    assert probability * predictor.state.probabilities[END] == pytest.approx(
        exact.whole(text), rel=EXACT
    )
    predictor.close()
    return True


@pytest.mark.parametrize("fork", [True, False])
@pytest.mark.parametrize(("name", "text"), CASES)
async def test_prefixes_bytes_and_ends_are_as_probable_as_enumeration_says(
    name: str, text: bytes, fork: bool
) -> None:
    assert await agrees_with_enumeration(VOCABULARIES[name], text, seed=3, fork=fork)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 20.0])
async def test_flat_and_peaked_models_are_summed_as_exactly(sharpness: float) -> None:
    assert await agrees_with_enumeration(VOCABULARIES["bpe"], b"abcab", sharpness=sharpness)


async def test_tokens_of_several_code_points_are_summed_by_their_bytes() -> None:
    text = "é€".encode()
    assert await agrees_with_enumeration(("é", "€", "é€", "è", "é€é"), text, seed=5)


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[str, ...]:
    """A few pieces over a small alphabet, duplicates among them, each letter a piece or not."""
    return tuple(draw(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=7)))


@st.composite
def spellable(draw: st.DrawFn, pieces: tuple[str, ...]) -> bytes:
    """A text that begins some sequence of pieces."""
    parts = draw(st.lists(st.sampled_from(pieces), min_size=0, max_size=4))
    whole = "".join(parts).encode()
    return whole[: draw(st.integers(0, min(5, len(whole))))]


@given(st.data(), st.integers(0, 1000), st.booleans())
async def test_any_small_vocabulary_is_summed_exactly(
    data: st.DataObject, seed: int, fork: bool
) -> None:
    pieces = data.draw(vocabularies())
    text = data.draw(spellable(pieces))
    assume(await agrees_with_enumeration(pieces, text, seed=seed, fork=fork, sharpness=3.0))


async def test_a_byte_that_no_token_goes_on_with_has_no_probability() -> None:
    predictor = await started(toy_engine(("ab", "cd")))
    await predictor.feed(ord("a"))
    assert set(np.flatnonzero(predictor.state.probabilities).tolist()) == {ord("b")}
    predictor.close()


async def test_tokens_of_the_same_bytes_count_together() -> None:
    options = {"pieces": ["a", "a", "b"], "seed": 4}
    row = Enumeration(**options).next_token(())
    predictor = await started(toy_engine(**options))
    assert predictor.state.probabilities[ord("a")] == pytest.approx(row[5] + row[6], rel=EXACT)
    predictor.close()


async def test_control_tokens_have_no_mass_and_several_ends_are_one_symbol() -> None:
    options = {"pieces": ["a", "b"], "seed": 4}
    exact = Enumeration(**options)
    predictor = await started(toy_engine(**options))
    row = exact.next_token(())
    assert len(exact.ending) == 2
    assert predictor.state.probabilities[END] == pytest.approx(row[exact.ending].sum(), rel=EXACT)
    possible = {ord("a"), ord("b"), END}
    assert set(np.flatnonzero(predictor.state.probabilities).tolist()) == possible
    predictor.close()


async def test_the_bytes_of_a_prompt_that_may_go_on_are_conditioned_on() -> None:
    options = {"pieces": list(VOCABULARIES["bpe"]), "seed": 6}
    exact = Enumeration(**options)
    predictor = await started(toy_engine(**options), forced=b"ab")
    assert predictor.state.probabilities == pytest.approx(
        exact.next_symbol(b"ab"), rel=EXACT, abs=EXACT
    )
    await predictor.feed(ord("c"))
    assert predictor.state.probabilities == pytest.approx(
        exact.next_symbol(b"abc"), rel=EXACT, abs=EXACT
    )
    predictor.close()


@given(st.lists(st.sampled_from([5, 6, 7, 8, 9, 10]), min_size=1, max_size=4))
async def test_a_text_is_never_less_probable_than_one_way_to_cut_it(tokens: list[int]) -> None:
    options = {"pieces": list(VOCABULARIES["bpe"]), "seed": 9}
    exact = Enumeration(**options)
    engine = toy_engine(**options)
    text = b"".join(engine.vocabulary.pieces[token] for token in tokens)[:6]
    cut = engine.vocabulary.byte_order.segment(text)
    assert cut is not None
    predictor = await started(engine)
    logprob = 0.0
    for byte in text:
        logprob += math.log(predictor.state.probabilities[byte])
        await predictor.feed(byte)
    assert logprob >= math.log(exact.path(cut)) - 1e-9
    predictor.close()
