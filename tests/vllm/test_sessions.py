"""Many sessions in one engine: each as if it were alone, and nothing left of it behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.fleet.cores import available_cores
from quorate.request import TextPrompt
from support.hosted_engines import children_of, open_descriptors
from support.scripted_models import engine_sampling

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SESSIONS = 8
TOKENS = 24
DEADLINE_SECONDS = 300.0
PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "Water boils at a temperature of",
    "def add(left, right):",
    "My favourite colour is",
    "In the beginning there was",
    "The three laws of motion were found by",
    "A good recipe for bread needs flour,",
)
MiB = 2**20


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(smollm2_checkpoint: Path) -> AsyncIterator[HostedEngine]:
    # float32: in 16 bits a batch of another size may turn a near tie.
    options = {"sessions": SESSIONS, "context_length": 256, "cells": 2048, "dtype": "float32"}
    spec = EngineSpec("smollm2", "vllm", str(smollm2_checkpoint), options)
    engine = HostedEngine(spec, available_cores())
    engine.start()
    await asyncio.wait_for(engine.wait_ready(), DEADLINE_SECONDS)
    yield engine
    await engine.close()


async def greedy(engine: HostedEngine, prompt: Sequence[int], count: int) -> list[int]:
    """The most probable tokens, fed one by one."""
    session = await engine.open(len(prompt) + count)
    chosen: list[int] = []
    try:
        row = await session.feed(prompt)
        for _ in range(count):
            chosen.append(int(row.argmax()))
            row = await session.feed(chosen[-1:])
    finally:
        session.close()
    return chosen


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def prompts(engine: HostedEngine) -> list[list[int]]:
    return [await engine.encode(TextPrompt(prompt)) for prompt in PROMPTS]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alone(engine: HostedEngine, prompts: list[list[int]]) -> list[list[int]]:
    """What each prompt is answered with where nobody else asks."""
    return [await greedy(engine, prompt, TOKENS) for prompt in prompts]


async def test_eight_at_once_say_what_each_says_alone(
    engine: HostedEngine, prompts: list[list[int]], alone: list[list[int]]
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        together = await asyncio.gather(*(greedy(engine, prompt, TOKENS) for prompt in prompts))
    assert together == alone
    assert len({tuple(answer) for answer in alone}) == SESSIONS


async def test_others_that_leave_and_join_change_nothing(
    engine: HostedEngine, prompts: list[list[int]], alone: list[list[int]]
) -> None:
    leavers = 0

    async def leave_and_join(number: int) -> None:
        """Goes away in the middle of a feed, time and again, and comes back with another prompt."""
        nonlocal leavers
        for turn in range(6):
            prompt = prompts[(number + turn) % len(prompts)]
            session = await engine.open(len(prompt) + TOKENS)
            row = await session.feed(prompt)
            for _ in range(turn):
                row = await session.feed([int(row.argmax())])
            leaving = asyncio.ensure_future(session.feed([int(row.argmax())]))
            await asyncio.sleep(0)
            session.close()
            leavers += 1
            with pytest.raises(asyncio.CancelledError):
                await leaving

    async with asyncio.timeout(DEADLINE_SECONDS):
        *stayed, _, _, _ = await asyncio.gather(
            *(greedy(engine, prompt, TOKENS) for prompt in prompts[:5]),
            *map(leave_and_join, range(3)),
        )
    assert stayed == alone[:5]
    assert leavers == 18


async def test_plain_generations_beside_votes_change_neither(
    engine: HostedEngine, prompts: list[list[int]], alone: list[list[int]]
) -> None:
    options = engine_sampling(max_tokens=TOKENS)

    async def drawn(prompt: Sequence[int]) -> list[int]:
        session = await engine.open(len(prompt) + TOKENS)
        tokens: list[int] = []
        async for some in session.generate(prompt, options):
            tokens += [one.token for one in some]
        session.close()
        return tokens

    async with asyncio.timeout(DEADLINE_SECONDS):
        together = await asyncio.gather(
            *(greedy(engine, prompt, TOKENS) for prompt in prompts[:4]),
            *(drawn(prompt) for prompt in prompts[4:]),
        )
    ending = engine.vocabulary.end_of_generation
    for said, known in zip(together, alone, strict=True):
        # A plain generation ends where the model ends.
        assert said == known[: len(said)]
        assert len(said) == TOKENS or said[-1] in ending


async def test_two_hundred_cycles_leave_no_session_and_no_memory(
    engine: HostedEngine, prompts: list[list[int]]
) -> None:

    async def cycle(number: int) -> None:
        prompt = prompts[number % len(prompts)]
        session = await engine.open(len(prompt) + 4, branches=number % 2)
        row = await session.feed([*prompt, 100 + number])
        if number % 2:
            branch = session.branch()
            await branch.feed([int(row.argmax())])
            branch.close()
        if number % 3 == 0:
            session.rewind(2)
            await session.feed([200 + number])
        session.close()

    async with asyncio.timeout(DEADLINE_SECONDS):
        for number in range(40):
            await cycle(number)
        memory, descriptors = engine.memory_bytes(), open_descriptors()
        for number in range(200):
            await cycle(number)
        # Every place and every cell is free: they can all be had at once, in full length.
        sessions = [await engine.open(256) for _ in range(SESSIONS)]
    for session in sessions:
        session.close()
    assert engine.memory_bytes() - memory < 16 * MiB
    assert open_descriptors() <= descriptors
    assert engine.worker_pid is not None
    assert children_of(engine.worker_pid) == []
