"""A beam that has pruned what the text turned out to be follows it anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from support.byte_predictors import (
    BPE,
    everything_is_free,
    fed,
    kept_share,
    open_sessions,
    segmentations,
    started,
    toy_engine,
)
from support.in_process import InProcessEngine

# Behind "ab" a beam of one follows "abc" and nothing else; "d" begins no end of it.
LONG_TOKEN = ("abc", "b", "d", "a")


def ids(engine: InProcessEngine, *pieces: str) -> list[int]:
    return [engine.vocabulary.pieces.index(piece.encode()) for piece in pieces]


async def following_the_long_token(seed: int = 1) -> BytePredictor:
    predictor = await started(toy_engine(LONG_TOKEN, seed=seed), epsilon=0.5, width=1)
    await fed(predictor, b"ab")
    assert segmentations(predictor) == {((), b"ab")}
    return predictor


async def test_a_healed_voice_is_one_that_began_behind_the_committed_tokens() -> None:
    predictor = await following_the_long_token()
    assert predictor.state.probabilities[ord("d")] < 1e-4
    await predictor.feed(ord("d"))
    engine = toy_engine(LONG_TOKEN, seed=1)
    committed = [BOS, *ids(engine, "a", "b")]
    fresh = await started(engine, epsilon=0.5, width=1, prompt=committed)
    await fresh.feed(ord("d"))
    for byte in b"abcda":
        assert predictor.state.probabilities == pytest.approx(fresh.state.probabilities, abs=1e-9)
        await predictor.feed(byte)
        await fresh.feed(byte)
    predictor.close()
    fresh.close()


async def test_nothing_counts_as_lost_behind_a_healed_byte() -> None:
    predictor = await following_the_long_token()
    await predictor.feed(ord("d"))
    assert segmentations(predictor) == {((8, 6, 7), b"")}
    assert predictor.state.probabilities.sum() == pytest.approx(1.0)
    assert predictor.state.probabilities[ord("z")] == pytest.approx(
        (1 - kept_share(predictor)) / 257
    )
    predictor.close()


async def test_a_beam_that_found_the_byte_impossible_heals_too() -> None:
    predictor = await started(toy_engine(("ab", "a", "c", "b"), seed=1), width=8)
    await fed(predictor, b"ab")
    assert predictor.state.probabilities[ord("z")] == 0
    await fed(predictor, b"zc")
    assert [len(tokens) for tokens, begun in segmentations(predictor) if not begun] == [2]
    predictor.close()


@pytest.mark.parametrize("text", [b"z", b"\xff\x00z"])
async def test_bytes_that_no_tokens_can_spell_leave_no_trace(text: bytes) -> None:
    engine = toy_engine(BPE, seed=2)
    predictor = await started(engine)
    await fed(predictor, b"ab" + text)
    ((tokens, begun),) = segmentations(predictor)
    assert b"".join(engine.vocabulary.pieces[token] for token in tokens) + begun == b"ab"
    fresh = await started(toy_engine(BPE, seed=2), prompt=[BOS, *tokens])
    assert predictor.state.probabilities == pytest.approx(fresh.state.probabilities, abs=1e-9)
    row = await predictor.feed(ord("c"))
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
    predictor.close()
    fresh.close()


async def test_a_begun_token_that_cannot_be_spelled_by_others_leaves_no_trace() -> None:
    predictor = await started(toy_engine(("xyz", "a")))
    await fed(predictor, b"xa")
    assert segmentations(predictor) == {((6,), b"")}
    predictor.close()


@given(
    st.lists(st.sampled_from(b"abcz\xff"), max_size=20),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.01, 0.5]),
    st.integers(1, 6),
    st.booleans(),
)
async def test_whatever_is_fed_the_voice_goes_on_and_frees_everything(
    text: list[int], seed: int, epsilon: float, width: int, fork: bool
) -> None:
    engine = toy_engine(BPE, seed=seed, sessions=6, fork=fork)
    predictor = await started(engine, epsilon=epsilon, width=width)
    for byte in text:
        row = await predictor.feed(byte)
        assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
        assert 1 <= open_sessions(engine) <= width
    predictor.close()
    assert await everything_is_free(engine)


async def test_a_beam_that_lost_more_than_it_kept_begins_anew_with_what_there_is() -> None:
    predictor = await started(toy_engine(("a", "a", "a"), sharpness=0.0), width=1)
    for count in range(1, 4):
        assert predictor.state.probabilities[ord("a")] > 0.3
        await predictor.feed(ord("a"))
        assert predictor.state.healed == count
        assert kept_share(predictor) == pytest.approx(1 / 3)
    assert predictor.length == 3
    predictor.close()
