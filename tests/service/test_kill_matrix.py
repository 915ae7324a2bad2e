"""No answer is lost for want of a policy, whenever a worker dies and however.

Two voting models, eight streams, half of which go on without a lost member and half of which wait
until it is back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from quorate.engines.spec import EngineSpec
from quorate.fleet.status import ModelState
from support.gguf_files import smollm2
from support.kill_matrix import (
    DEADLINE_SECONDS,
    MOMENTS,
    SAY,
    SIGNALS,
    Matrix,
    count,
    losses,
    strike,
    table,
    victims,
)
from support.streams import Stream

DEATHS = 20

pytestmark = pytest.mark.usefixtures("nothing_is_left")


async def test_a_death_at_any_moment_loses_no_answer(tmp_path: Path) -> None:
    matrix: Matrix = {}
    async with victims(tmp_path) as there:
        for turn, moment in enumerate(MOMENTS):
            for number in SIGNALS:
                await strike(there, matrix, moment, number, "ab"[turn % 2])
    assert losses(matrix) == []
    assert len(matrix) == len(MOMENTS) * len(SIGNALS) * 2
    for (_, _, policy), cell in matrix.items():
        # Nobody is dropped who is to be waited for, and nobody waited for who is to be dropped.
        assert not cell.kinds["replayed" if policy == "continue" else "dropped"]
        assert cell.kinds["dropped" if policy == "continue" else "replayed"] > 0


async def test_who_waits_longer_than_its_deadline_leaves_nothing_behind(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def backoff(_: float) -> None:
        await go_on.wait()

    async with victims(tmp_path, backoff=backoff) as there:
        os.kill(there.pid("a"), signal.SIGKILL)
        await there.reaches("a", ModelState.RESTARTING)
        late = await Stream(
            there.client, "x", models=["a", "b"], failure_policy="replay", timeout=1.0
        ).end()
        assert late.error is not None
        assert (late.error.status, late.events) == ("DEADLINE_EXCEEDED", [])
        state = there.dispatcher
        async with asyncio.timeout(DEADLINE_SECONDS):
            while state.running or state.aside:
                await asyncio.sleep(0)
        go_on.set()
        await there.reaches("a", ModelState.READY)
        for model in "ab":
            await there.fleet.unload(model)


async def test_beside_a_member_that_dies_again_and_again_the_others_answer(tmp_path: Path) -> None:
    async with victims(tmp_path) as there:
        there.dies_at("encode", "a", signal.SIGKILL, for_ever=True)
        matrix: Matrix = {}
        streams = there.streams("x")
        for stream in streams:
            await stream.end()
        count(streams, matrix, "encode", signal.SIGKILL, SAY)
        going_on = matrix["encode", "SIGKILL", "continue"]
        assert (going_on.lost, going_on.kinds["dropped"]) == ([], len(streams) // 2)
        # Who may not go on without it is told when to come back, after three tries.
        for stream in streams[1::2]:
            assert stream.error is not None
            assert stream.error.status == "UNAVAILABLE"
            assert stream.error.retry_after_seconds is not None


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_many_deaths_at_every_moment_lose_no_answer(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix: Matrix = {}
    async with victims(tmp_path) as there:
        for moment in MOMENTS:
            for death in range(DEATHS):
                await strike(there, matrix, moment, number, "ab"[death % 2])
    with capsys.disabled():
        print(f"\n{table(matrix)}")
    assert losses(matrix) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_many_deaths_of_real_models_lose_no_answer(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix: Matrix = {}
    options = {"context_length": 256, "sessions": 8}
    specs = [EngineSpec(name, "llama_cpp", str(smollm2()), options) for name in "ab"]
    async with victims(tmp_path, *specs) as there:
        for death in range(DEATHS):
            victim = "ab"[death % 2]
            streams = there.streams("Once upon a time", max_tokens=8)
            await streams[0].until(lambda heard: len(heard.tokens) >= 2)
            os.kill(there.pid(victim), number)
            for stream in streams:
                await stream.end()
            await there.reaches(victim, ModelState.READY)
            count(streams, matrix, "decode", number, None)
    with capsys.disabled():
        print(f"\n{table(matrix)}")
    assert losses(matrix) == []
