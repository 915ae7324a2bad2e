"""A beam that has pruned what the text turned out to be follows it anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.byte_voice import ByteVoice
from support.byte_voices import (
    BPE,
    everything_is_free,
    kept_share,
    open_sessions,
    probabilities,
    segmentations,
    started,
    toy_engine,
    watched_healing,
)
from support.in_process import InProcessEngine

# Behind "ab" a beam of one follows "abc" and nothing else; "d" begins no end of it.
LONG_TOKEN = ("abc", "b", "d", "a")


def ids(engine: InProcessEngine, *pieces: str) -> list[int]:
    return [engine.vocabulary.pieces.index(piece.encode()) for piece in pieces]


async def following_the_long_token(seed: int = 1) -> ByteVoice:
    voice = await started(toy_engine(LONG_TOKEN, seed=seed), epsilon=0.5, width=1)
    for byte in b"ab":
        await voice.feed(byte)
    assert segmentations(voice) == {((), b"ab")}
    return voice


async def test_a_healed_voice_is_one_that_began_behind_the_committed_tokens() -> None:
    voice = await following_the_long_token()
    assert probabilities(voice)[ord("d")] < 1e-4
    await voice.feed(ord("d"))
    engine = toy_engine(LONG_TOKEN, seed=1)
    committed = [BOS, *ids(engine, "a", "b")]
    fresh = await started(engine, epsilon=0.5, width=1, prompt=committed)
    await fresh.feed(ord("d"))
    for byte in b"abcda":
        assert probabilities(voice) == pytest.approx(probabilities(fresh), abs=1e-9)
        await voice.feed(byte)
        await fresh.feed(byte)
    voice.close()
    fresh.close()


async def test_nothing_counts_as_lost_behind_a_healed_byte() -> None:
    voice = await following_the_long_token()
    await voice.feed(ord("d"))
    assert segmentations(voice) == {((8, 6, 7), b"")}
    assert probabilities(voice).sum() == pytest.approx(1.0)
    assert probabilities(voice)[ord("z")] == pytest.approx((1 - kept_share(voice)) / 257)
    voice.close()


async def test_a_beam_that_found_the_byte_impossible_heals_too() -> None:
    voice = await started(toy_engine(("ab", "a", "c", "b"), seed=1), width=8)
    for byte in b"ab":
        await voice.feed(byte)
    assert probabilities(voice)[ord("z")] == 0
    await voice.feed(ord("z"))
    await voice.feed(ord("c"))
    assert [len(tokens) for tokens, begun in segmentations(voice) if not begun] == [2]
    voice.close()


@pytest.mark.parametrize("text", [b"z", b"\xff\x00z"])
async def test_bytes_that_no_tokens_can_spell_leave_no_trace(text: bytes) -> None:
    voice = await started(toy_engine(BPE, seed=2))
    for byte in b"ab" + text:
        await voice.feed(byte)
    ((tokens, begun),) = segmentations(voice)
    assert b"".join(voice._engine.vocabulary.pieces[token] for token in tokens) + begun == b"ab"
    fresh = await started(toy_engine(BPE, seed=2), prompt=[BOS, *tokens])
    assert probabilities(voice) == pytest.approx(probabilities(fresh), abs=1e-9)
    row = await voice.feed(ord("c"))
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
    voice.close()
    fresh.close()


async def test_a_begun_token_that_cannot_be_spelled_by_others_leaves_no_trace() -> None:
    voice = await started(toy_engine(("xyz", "a")))
    for byte in b"xa":
        await voice.feed(byte)
    assert segmentations(voice) == {((6,), b"")}
    voice.close()


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
    voice = await started(engine, epsilon=epsilon, width=width)
    for byte in text:
        row = await voice.feed(byte)
        assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
        assert 1 <= open_sessions(engine) <= width
    voice.close()
    assert await everything_is_free(engine)


async def test_a_beam_that_lost_more_than_it_kept_begins_anew_with_what_there_is() -> None:
    voice = await started(toy_engine(("a", "a", "a"), sharpness=0.0), width=1)
    healed = watched_healing(voice)
    for count in range(1, 4):
        assert probabilities(voice)[ord("a")] > 0.3
        await voice.feed(ord("a"))
        assert healed == [ord("a")] * count
        assert kept_share(voice) == pytest.approx(1 / 3)
    assert voice.length == 3
    voice.close()
