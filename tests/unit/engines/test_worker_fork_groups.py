from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest

from quorate.engines.worker.engine import HostedEngine
from quorate.errors import WorkerLost
from support.hosted_engines import DEADLINE_SECONDS, hosted, scripted_spec
from support.scripted_models import fresh_row

SESSIONS = 4


@pytest.fixture
async def engine() -> AsyncIterator[HostedEngine]:
    # The third decode call never ends, once.
    spec = scripted_spec(sessions=SESSIONS, context_length=64, hang_after_steps=3)
    async with hosted(spec) as started:
        await started.wait_ready()
        yield started


def kill(engine: HostedEngine) -> None:
    assert engine.worker_pid is not None
    os.kill(engine.worker_pid, signal.SIGKILL)


async def test_the_death_of_the_worker_reaches_a_pending_score_and_the_fork_group(
    engine: HostedEngine,
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        root, scored = await engine.open(16, 1), await engine.open(64)
        row = (await root.feed([9])).copy()
        branch = root.branch()
        await branch.feed([8])
        scoring = scored.score([9] * 64)
        waiting = asyncio.create_task(engine.open(8, SESSIONS - 1))
        await asyncio.sleep(0)
        kill(engine)
        for outcome in (scoring, waiting):
            with pytest.raises(WorkerLost, match="SIGKILL"):
                await outcome
        for call in (branch.feed, scored.score):
            with pytest.raises(WorkerLost):
                await call([9])
        with pytest.raises(WorkerLost):
            root.branch()
        for session in (root, branch, scored):
            session.close()
        await engine.wait_ready()
        again = await engine.open(16, SESSIONS - 1)
        np.testing.assert_array_equal(await again.feed([9]), row)
        np.testing.assert_array_equal(await again.branch().feed([8]), fresh_row([9, 8]))


async def test_a_score_whose_session_was_closed_is_heard_by_nobody(engine: HostedEngine) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        scored, other = await engine.open(16), await engine.open(16)
        scoring = scored.score([9, 8, 7])
        feeding = other.feed([9])
        scored.close()
        np.testing.assert_array_equal(await feeding, fresh_row([9]))
        with pytest.raises(asyncio.CancelledError):
            await scoring
