"""What pruning may lose, and what it may not."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.byte_predictors import (
    BPE,
    VOCABULARIES,
    fed,
    kept_share,
    open_sessions,
    segmentations,
    started,
    toy_engine,
)
from support.enumeration import Enumeration

TEXTS = st.text("abc", min_size=1, max_size=6).map(str.encode)


async def kept(text: bytes, epsilon: float, seed: int) -> float:
    """What a pruned beam holds of a text's probability, by the chain rule.

    Texts for which it had to heal do not count: there it begins anew, with all that was lost.
    """
    predictor = await started(toy_engine(BPE, seed=seed), epsilon=epsilon)
    total = 1.0
    for byte in text:
        total *= float(predictor.state.probabilities[byte])
        await predictor.feed(byte)
    held = total * kept_share(predictor)
    predictor.close()
    assume(not predictor.state.healed)
    return held


@given(TEXTS, st.integers(0, 30), st.sampled_from([0.0, 1e-3, 1e-2, 5e-2]))
async def test_what_is_kept_is_a_lower_bound_of_the_truth(
    text: bytes, seed: int, epsilon: float
) -> None:
    exact = Enumeration(pieces=list(BPE), seed=seed).prefix(text)
    held = await kept(text, epsilon, seed)
    assert 0 < held <= exact * (1 + 1e-9)
    if not epsilon:
        assert held == pytest.approx(exact, rel=1e-9)


@given(TEXTS, st.integers(0, 30))
async def test_less_pruning_keeps_more(text: bytes, seed: int) -> None:
    held = [await kept(text, epsilon, seed) for epsilon in (5e-2, 5e-3, 5e-4, 0.0)]
    assert all(more >= less * (1 - 1e-9) for less, more in pairwise(held))


@given(TEXTS, st.integers(0, 30), st.sampled_from([0.0, 1e-2, 0.5]), st.integers(1, 64))
async def test_probabilities_sum_to_one_whatever_is_pruned(
    text: bytes, seed: int, epsilon: float, width: int
) -> None:
    predictor = await started(toy_engine(BPE, seed=seed), epsilon=epsilon, width=width)
    row = np.zeros(257, np.float32)
    for byte in text:
        row = await predictor.feed(byte)
        assert predictor.state.probabilities.sum() == pytest.approx(1.0, abs=1e-9)
        assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
        assert row.dtype == np.float32
    predictor.close()


@given(TEXTS, st.integers(0, 30), st.integers(1, 6))
async def test_never_more_hypotheses_or_sessions_than_the_beam_is_wide(
    text: bytes, seed: int, width: int
) -> None:
    engine = toy_engine(BPE, seed=seed, sessions=8)
    predictor = await started(engine, width=width)
    for byte in text:
        pending = predictor.feed(byte)
        assert open_sessions(engine) <= width
        await pending
        assert 1 <= len(segmentations(predictor)) <= width
        assert open_sessions(engine) <= width
    predictor.close()


@given(st.text("ab", min_size=20, max_size=40), st.integers(0, 30), st.integers(18, 60))
async def test_the_beam_stays_within_its_cells(text: str, seed: int, kv_tokens: int) -> None:
    engine = toy_engine(("a", "b", "ab", "abab", "ba"), seed=seed, context_length=128)
    predictor = await started(
        engine, epsilon=1e-3, width=8, kv_tokens=max(kv_tokens, len(text) + 16)
    )
    for byte in text.encode():
        await predictor.feed(byte)
        assert predictor.state.held_kv_tokens <= max(kv_tokens, len(text) + 16)
    predictor.close()


async def test_without_room_for_more_the_best_hypothesis_goes_on_alone() -> None:
    engine = toy_engine(BPE, seed=1)
    roomy = await started(engine, width=16)
    tight = await started(toy_engine(BPE, seed=1), width=16, kv_tokens=18)
    for byte in b"abcabc":
        await roomy.feed(byte)
        await tight.feed(byte)
    assert len(segmentations(roomy)) > 1
    assert len(segmentations(tight)) == 1
    assert tight.state.held_kv_tokens <= 18
    assert tight.dropped_mass is not None and tight.dropped_mass > 0
    roomy.close()
    tight.close()


@pytest.mark.parametrize("pieces", VOCABULARIES.values())
async def test_nothing_is_dropped_where_nothing_is_pruned(pieces: tuple[str, ...]) -> None:
    predictor = await started(toy_engine(pieces, seed=2))
    await fed(predictor, b"abab")
    assert predictor.dropped_mass == 0.0
    predictor.close()


async def test_what_is_dropped_is_told() -> None:
    predictor = await started(toy_engine(BPE, seed=2, sharpness=1.0), epsilon=0.1)
    exact = Enumeration(pieces=list(BPE), seed=2, sharpness=1.0)
    total = 1.0
    for byte in b"abc":
        total *= float(predictor.state.probabilities[byte])
        await predictor.feed(byte)
    missing = exact.prefix(b"abc") - total * kept_share(predictor)
    assert missing > 0
    assert predictor.dropped_mass is not None
    assert predictor.dropped_mass > 0
    predictor.close()


async def test_what_was_pruned_finds_every_symbol_equally_probable() -> None:
    predictor = await started(toy_engine(BPE, seed=2, sharpness=1.0), epsilon=0.1)
    await fed(predictor, b"abc")
    lost = 1.0 - kept_share(predictor)
    assert 0 < lost < 0.5
    impossible = [byte for byte in range(256) if byte not in b"abc"]
    assert predictor.state.probabilities[impossible] == pytest.approx(lost / 257)
    assert math.isfinite(math.log(predictor.state.probabilities.min()))
    predictor.close()
