"""Longer proofs over the whole service; run by scripts/prove.

Kills stay few: a worker that dies often is started again after ever longer waits, by design.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quorate.fleet.status import ModelState
from support.hosted_engines import children, open_descriptors, shared_memories
from support.whole_service import engine_of, kill_worker, reaches, scripted, whole_service

SAY = "the quick brown fox jumps over the lazy dog and runs away"
KILLS = 10
STREAMS = 6
REQUESTS = 3000
MIB = 1 << 20

pytestmark = pytest.mark.slow


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_every_stream_is_whole_while_members_are_killed_again_and_again(
    tmp_path: Path,
) -> None:
    before = children(), shared_memories()
    models = [scripted(name, say=SAY, step_delay_ms=2.0, seed=i) for i, name in enumerate("ab")]
    answers: list[str] = []
    over = asyncio.Event()
    async with whole_service(tmp_path, *models) as (service, client):

        async def ask() -> None:
            while not over.is_set():
                answers.append(
                    await client.complete(
                        "", models=["a", "b"], temperature=0.0, failure_policy="replay"
                    )
                )

        askers = [asyncio.create_task(ask()) for _ in range(STREAMS)]
        for kill in range(KILLS):
            victim = "ab"[kill % 2]
            await reaches(service, victim, ModelState.READY)
            done = len(answers)
            while len(answers) < done + 3:
                await asyncio.wait(askers, timeout=0.05)
                for task in askers:
                    assert not task.done(), task.exception()
            kill_worker(service, victim)
            await reaches(service, victim, ModelState.RESTARTING)
        over.set()
        await asyncio.gather(*askers)
    assert set(answers) == {SAY}
    assert len(answers) >= 3 * KILLS
    assert (children(), shared_memories()) == before


async def test_thousands_of_requests_leave_memory_and_descriptors_as_they_were(
    tmp_path: Path,
) -> None:
    models = [scripted(name, say=SAY, seed=i) for i, name in enumerate("ab")]
    async with whole_service(tmp_path, *models) as (service, client):

        async def ask(count: int) -> None:
            for number in range(count):
                text = await client.complete(
                    f"{number} ", models=["a", "b"], temperature=0.0, max_tokens=4
                )
                assert text

        await asyncio.gather(*(ask(REQUESTS // 60) for _ in range(8)))
        ours, descriptors = resident_bytes(), open_descriptors()
        workers = [engine_of(service, name).memory_bytes() for name in "ab"]
        await asyncio.gather(*(ask(REQUESTS // 8) for _ in range(8)))
        assert resident_bytes() - ours < 16 * MIB
        for name, earlier in zip("ab", workers, strict=True):
            assert engine_of(service, name).memory_bytes() - earlier < 16 * MIB
        assert open_descriptors() <= descriptors + 2
