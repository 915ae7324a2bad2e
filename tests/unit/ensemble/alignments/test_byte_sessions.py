"""A predictor that was closed, or whose worker died, comes back as it was and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from quorate.errors import WorkerLost
from support.byte_predictors import (
    BPE,
    everything_is_free,
    fed,
    kept_share,
    open_sessions,
    predictor_of,
    restarted,
    segmentations,
    started,
    toy_engine,
)
from support.ensembles import die_and_return
from support.in_process import InProcessEngine

TEXTS = st.text("abc", min_size=1, max_size=8)
BEAMS = st.sampled_from([(0.0, 6), (1e-2, 3), (1e-2, 1), (0.5, 2)]).map(
    lambda beam: {"epsilon": beam[0], "width": beam[1]}
)


async def twins(engine: InProcessEngine, seed: int, **how: Any) -> tuple[BytePredictor, ...]:
    """A predictor over an engine that may die, and one over an engine like it."""
    return await started(engine, **how), await started(toy_engine(BPE, seed=seed), **how)


async def come_back(predictor: BytePredictor, pending: Awaitable[object]) -> None:
    """As the ensemble does for a member that was lost."""
    with pytest.raises(WorkerLost):
        await pending
    await restarted(predictor)


def assert_alike(one: BytePredictor, other: BytePredictor) -> None:
    assert one.state.probabilities == pytest.approx(other.state.probabilities, rel=1e-9, abs=1e-12)
    assert segmentations(one) == segmentations(other)
    assert kept_share(one) == pytest.approx(kept_share(other), rel=1e-9)


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 30), BEAMS, st.integers(0, 7), st.booleans())
async def test_a_voice_that_was_closed_is_where_it_was(
    text: str, seed: int, how: dict[str, Any], closed_at: int, fork: bool
) -> None:
    engine = toy_engine(BPE, seed=seed, sessions=6, fork=fork)
    predictor, steady = await twins(engine, seed, **how)
    for index, byte in enumerate(text.encode()):
        if index == closed_at:
            await restarted(predictor)
        await predictor.feed(byte)
        await steady.feed(byte)
        assert_alike(predictor, steady)
    predictor.close()
    steady.close()
    assert await everything_is_free(engine)


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 30), BEAMS, st.sets(st.integers(0, 7), min_size=1))
async def test_a_voice_whose_worker_died_while_it_was_growing_is_where_it_would_be(
    text: str, seed: int, how: dict[str, Any], deaths: set[int]
) -> None:
    engine = toy_engine(BPE, seed=seed, sessions=6)
    predictor, steady = await twins(engine, seed, **how)
    for index, byte in enumerate(text.encode()):
        pending = predictor.feed(byte)
        waits = bool(open_sessions(engine)) and predictor.state.waiting
        if index in deaths and waits:
            die_and_return(engine)
            await come_back(predictor, pending)
        else:
            await pending
        await steady.feed(byte)
        assert_alike(predictor, steady)
    predictor.close()
    assert await everything_is_free(engine)


@given(
    st.text("abcz", min_size=1, max_size=8),
    st.integers(0, 30),
    BEAMS,
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
)
async def test_a_worker_that_dies_at_any_moment_and_again_costs_no_byte_and_doubles_none(
    text: str, seed: int, how: dict[str, Any], deaths: list[int]
) -> None:
    engine = toy_engine(BPE, seed=seed, sessions=6)
    predictor, steady = await twins(engine, seed, **how)
    for byte in text.encode():
        lost = await endangered(predictor.feed(byte), engine, deaths)
        while lost is not None:
            assert isinstance(lost, WorkerLost)
            predictor.close()
            await predictor.open()
            lost = await endangered(predictor.start(), engine, deaths)
        await steady.feed(byte)
        assert_alike(predictor, steady)
    assert predictor.length == steady.length
    predictor.close()
    assert await everything_is_free(engine)


async def endangered(
    pending: Awaitable[object], engine: InProcessEngine, deaths: list[int]
) -> BaseException | None:
    """Waits while the worker dies, each time after so many turns of the event loop."""
    waiting = asyncio.ensure_future(awaited(pending))
    while not waiting.done():
        await asyncio.sleep(0)
        if not deaths or waiting.done():
            continue
        deaths[0] -= 1
        if not deaths[0]:
            del deaths[0]
            die_and_return(engine)
    return waiting.exception()


async def awaited(pending: Awaitable[object]) -> object:
    return await pending


@pytest.mark.parametrize("width", [1, 2, 6])
async def test_a_worker_that_is_dead_when_a_byte_is_told_is_lost_when_it_is_waited_for(
    width: int,
) -> None:
    engine = toy_engine(BPE, seed=1, sessions=6)
    predictor, steady = await twins(engine, 1, width=width)
    for byte in b"abcab":
        engine.lose("killed by SIGKILL")
        pending = predictor.feed(byte)
        engine.recover()
        if predictor.state.waiting:
            await come_back(predictor, pending)
        else:
            await restarted(predictor)
        await steady.feed(byte)
        assert_alike(predictor, steady)
    predictor.close()
    assert await everything_is_free(engine)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(b"abcz"), max_size=8), BEAMS, st.integers(1, 8))
async def test_a_voice_can_be_closed_at_any_time_and_frees_everything(
    text: Sequence[int], how: dict[str, Any], closed_at: int
) -> None:
    engine = toy_engine(BPE, seed=2, sessions=6)
    predictor = await started(engine, **how)
    for index, byte in enumerate(text):
        pending = predictor.feed(byte)
        if index == closed_at:
            break
        await pending
    predictor.close()
    predictor.close()
    assert await everything_is_free(engine)


async def test_a_byte_is_not_doubled_when_its_own_token_dies_in_healing() -> None:
    options = {"pieces": ("a", "b"), "seed": 1, "sharpness": 1e5}
    engine, other = toy_engine(**options), toy_engine(**options)
    predictor, steady = await started(engine, width=2), await started(other, width=2)
    unthinkable = min(b"ab", key=lambda byte: predictor.state.probabilities[byte])
    assert predictor.state.probabilities[unthinkable] == 0
    healing = asyncio.ensure_future(awaited(predictor.feed(unthinkable)))
    while not predictor.state.waiting:
        await asyncio.sleep(0)
    die_and_return(engine)
    await come_back(predictor, healing)
    await steady.feed(unthinkable)
    assert_alike(predictor, steady)
    predictor.close()
    steady.close()


async def test_a_reader_that_leaves_while_the_beam_heals_frees_everything() -> None:
    engine = toy_engine(("abc", "b", "d", "a"))
    predictor = await started(engine, width=1)
    await fed(predictor, b"ab")
    healing = asyncio.ensure_future(awaited(predictor.feed(ord("d"))))
    await asyncio.sleep(0)
    healing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await healing
    predictor.close()
    assert await everything_is_free(engine)


@given(st.text("abz", min_size=1, max_size=40), st.integers(0, 30), st.integers(1, 20))
async def test_a_voice_whose_cells_are_full_goes_on_without_taking_in_more(
    text: str, seed: int, kv_tokens: int
) -> None:
    engine = toy_engine(BPE, seed=seed)
    predictor = await started(engine, width=4, kv_tokens=kv_tokens)
    for index, byte in enumerate(text.encode(), 1):
        row = await predictor.feed(byte)
        assert predictor.state.held_kv_tokens <= kv_tokens
        assert predictor.length >= (index - 2) / 3
        assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
    predictor.close()
    assert await everything_is_free(engine)


async def test_bytes_that_leave_no_trace_count_as_tokens_so_that_every_answer_ends() -> None:
    predictor = await started(toy_engine(("xyz", "a")))
    for count, byte in enumerate(b"qqxxx", 1):
        await predictor.feed(byte)
        assert predictor.length >= count - 1
    predictor.close()


@pytest.mark.parametrize("tokens", [b"", b"abc"])
async def test_a_voice_that_was_started_and_never_waited_for_frees_everything(
    tokens: bytes,
) -> None:
    engine = toy_engine(BPE)
    predictor = predictor_of(engine)
    if tokens:
        await predictor.open()
        await predictor.start()
        await fed(predictor, tokens)
        predictor.close()
    await predictor.open()
    predictor.start()
    predictor.close()
    assert await everything_is_free(engine)


async def test_the_bytes_of_the_prompt_do_not_count_as_the_answers() -> None:
    for forced in (b"", b"a", b"abc"):
        predictor = await started(toy_engine(BPE, seed=2), forced=forced)
        assert predictor.length == 0
        await fed(predictor, b"cab")
        assert 1 <= predictor.length <= 3
        await restarted(predictor)
        assert 1 <= predictor.length <= 3
        predictor.close()


async def test_a_voice_that_was_opened_and_never_started_frees_its_places() -> None:
    engine = toy_engine(BPE)
    predictor = predictor_of(engine)
    await predictor.open()
    predictor.close()
    assert await everything_is_free(engine)
    with pytest.raises(RuntimeError, match="before it was opened"):
        predictor.start()


@settings(max_examples=40)
@given(st.text("ab", min_size=10, max_size=30), st.integers(0, 30), st.integers(0, 30))
async def test_the_beam_stays_within_its_cells_also_when_it_comes_back(
    text: str, seed: int, closed_at: int
) -> None:
    kv_tokens = len(text) + 17
    engine = toy_engine(("a", "b", "ab", "abab", "ba"), seed=seed, context_length=128)
    predictor = await started(engine, epsilon=1e-3, width=8, kv_tokens=kv_tokens)
    for index, byte in enumerate(text.encode()):
        if index == closed_at:
            await restarted(predictor)
            assert predictor.state.held_kv_tokens <= kv_tokens
        await predictor.feed(byte)
        assert predictor.state.held_kv_tokens <= kv_tokens
    predictor.close()


async def test_a_death_within_the_given_bytes_of_a_prompt_begins_anew() -> None:
    engine = toy_engine(BPE, seed=3)
    steady = await started(toy_engine(BPE, seed=3), forced=b"abc", epsilon=0.05)
    predictor = predictor_of(engine, forced=b"abc", epsilon=0.05)
    for moments in range(1, 12):
        await predictor.open()
        beginning = asyncio.ensure_future(awaited(predictor.start()))
        for _ in range(moments):
            await asyncio.sleep(0)
        die_and_return(engine)
        await asyncio.wait([beginning])
        assert beginning.exception() is None or isinstance(beginning.exception(), WorkerLost)
        predictor.close()
    await predictor.open()
    await predictor.start()
    assert_alike(predictor, steady)
    predictor.close()


async def test_tokens_are_counted_once_however_often_they_are_fed() -> None:
    engine = toy_engine(BPE, seed=3, sessions=6)
    predictor, steady = await twins(engine, 3, width=4)
    for byte in b"abcab":
        await restarted(predictor)
        await predictor.feed(byte)
        await steady.feed(byte)
    assert predictor.fed == steady.fed
    predictor.close()
    assert predictor.fed == steady.fed
