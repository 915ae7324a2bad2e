"""Many sessions in one engine: each as if it were alone, and nothing left of it behind.

One engine serves all tests, since vLLM takes long to start, and its model is small: what is tested
is which tokens belong together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.statuses import WorkerPhase
from quorate.fleet.cores import available_cores
from quorate.request import TextPrompt
from support.checkpoints import random_llama
from support.hosted_engines import children_of, ends_of, family, open_descriptors
from support.random_walks import Walk
from support.scripted_models import engine_sampling

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SESSIONS = 8
LENGTH = 192
TOKENS = 24
STEPS = 240
# float32 sums in another order; a wrong block moves a log-prob by whole nats.
TOLERANCE = 5e-3
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
async def engine(
    tmp_path_factory: pytest.TempPathFactory, smollm2_checkpoint: Path
) -> AsyncIterator[HostedEngine]:
    folder = random_llama(tmp_path_factory.mktemp("random") / "llama", smollm2_checkpoint)
    engine = await started(str(folder))
    yield engine
    await engine.close()


async def started(folder: str, **further: Any) -> HostedEngine:
    # float32: in 16 bits a batch of another size may turn a near tie.
    options = {
        "sessions": SESSIONS,
        "context_length": LENGTH,
        "cells": SESSIONS * LENGTH,
        "batch_tokens": 64,
        "dtype": "float32",
    }
    engine = HostedEngine(
        EngineSpec("random", "vllm", folder, {**options, **further}), available_cores()
    )
    engine.start()
    await asyncio.wait_for(engine.wait_ready(), DEADLINE_SECONDS)
    return engine


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
        sessions = [await engine.open(LENGTH) for _ in range(SESSIONS)]
    for session in sessions:
        session.close()
    assert engine.memory_bytes() - memory < 16 * MiB
    assert open_descriptors() <= descriptors
    assert engine.worker_pid is not None
    assert children_of(engine.worker_pid) == []


async def test_every_row_of_a_random_walk_is_that_of_its_tokens(engine: HostedEngine) -> None:
    """Sessions grow, go back, divide and end in any order, in a KV cache that is always short.

    Every row is held against the score of the same tokens, which takes nothing from vLLM's prefix
    cache: a block that was found there by a wrong hash would show.
    """
    # Three sessions and their branches; two places are left, and one of them scores.
    walk = Walk(engine, random.Random(5), groups=3, length=LENGTH - 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        for _ in range(STEPS):
            await walk.step()
        for tokens, best, logprob in walk.seen[:: max(1, len(walk.seen) // 80)]:
            text = await engine.open(len(tokens) + 1)
            scores = await text.score([*tokens, best])
            text.close()
            assert scores[-1] == pytest.approx(logprob, abs=TOLERANCE), len(tokens)
    for walker in walk.walkers:
        walker.session.close()
    assert len(walk.seen) > STEPS / 2


async def heard(engine: HostedEngine) -> tuple[Any, list[float]]:
    """Rows and sums of a family of sessions and of a block, and the score of a text."""
    prompt = await engine.encode(TextPrompt("Once upon a time there was a fox"))
    root = await engine.open(40, branches=1)
    rows = [(await root.feed(prompt)).copy()]
    branch = root.branch()
    for session in (root, branch, root):
        rows.append((await session.feed([int(rows[-1].argmax())])).copy())
    sums = root.prefix_sums.copy()
    text, block = await engine.open(40), await engine.open(40)
    scores = list(await text.score(prompt))
    rows += list((await block.feed_block(prompt, len(prompt))).copy())
    for session in (root, branch, text, block):
        session.close()
    return np.concatenate([*rows, sums]), scores


async def test_two_processes_say_what_one_says_and_end_with_their_worker(
    engine: HostedEngine,
) -> None:
    """A model that is spread over several processes, as over GPUs; here they are processors."""
    rows, scores = await heard(engine)
    two = await started(engine.spec.path, tensor_parallel=2)
    rows_of_two, scores_of_two = await heard(two)
    np.testing.assert_allclose(rows_of_two, rows, rtol=0, atol=1e-3)
    np.testing.assert_allclose(scores_of_two, scores, rtol=0, atol=1e-3)
    assert two.worker_pid is not None
    processes = family(two.worker_pid)
    assert len(processes) >= 3
    ends = ends_of(processes)
    await two.close()
    await asyncio.wait_for(ends, DEADLINE_SECONDS)
    assert two.status.phase is WorkerPhase.STOPPED
