"""Real workers that share cores: whose turn it is, and what becomes of one that keeps it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from quorate.engines.session import EngineSession
from quorate.engines.worker.affinity import places
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.statuses import WorkerPhase
from quorate.engines.worker.turns import Turns
from support.hosted_engines import DEADLINE_SECONDS, ready, scripted_spec, until

SHARED = places(2)


@asynccontextmanager
async def workers(*delays_ms: float, **keywords: Any) -> AsyncIterator[list[HostedEngine]]:
    """Models whose steps take so long, on the same two places."""
    turns = Turns()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                ready(
                    scripted_spec(uses_cores=True, step_delay_ms=delay),
                    cores=SHARED,
                    turns=turns,
                    **keywords,
                )
            )
            for delay in delays_ms
        ]


async def opened(engine: HostedEngine) -> EngineSession:
    return await engine.open(64)


async def at_once(*sessions: EngineSession) -> float:
    """Feeds all of them a token; returns the seconds until all have answered."""
    began = time.monotonic()
    async with asyncio.timeout(DEADLINE_SECONDS):
        for feed in [session.feed([3]) for session in sessions]:
            await feed
    return time.monotonic() - began


async def computing(engine: HostedEngine) -> None:
    """Waits until a worker is in a decode call, which here takes long."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not engine.activity.asked:
            await asyncio.sleep(0)
    # Its turn begins some microseconds later; nothing outside shows that it has.
    await asyncio.sleep(0.05)


async def test_models_on_the_same_cores_take_turns_and_waiting_is_no_work():
    async with workers(40.0, 60.0) as engines:
        sessions = [await opened(engine) for engine in engines]

        passed = [await at_once(*sessions) for _ in range(5)]

        assert min(passed) > 0.099
        first, second = (session.busy_seconds for session in sessions)
        # Whoever was second waited; that is the other one's time.
        assert 0.19 < first < 0.29
        assert 0.29 < second < 0.39
        waited = sum(engine.activity.done.waited_seconds for engine in engines)
        assert 0.15 < waited < sum(passed)
        assert [engine.activity.done.steps for engine in engines] == [5, 5]
        for engine, seconds in zip(engines, (0.2, 0.3), strict=True):
            done = engine.activity.done
            assert seconds < done.computed_seconds < seconds + 0.1
            assert done.core_seconds == 2 * done.computed_seconds


async def test_cores_of_ones_own_are_taken_without_a_restart():
    async with workers(50.0, 50.0) as engines:
        sessions = [await opened(engine) for engine in engines]
        assert min([await at_once(*sessions) for _ in range(3)]) > 0.099
        pids = [engine.worker_pid for engine in engines]

        for engine, cores in zip(engines, ((-1,), (-2,)), strict=True):
            engine.set_cores(cores)

        await at_once(*sessions)
        assert min([await at_once(*sessions) for _ in range(3)]) < 0.09
        assert [engine.worker_pid for engine in engines] == pids
        for engine in engines:
            engine.set_cores(SHARED)
        await at_once(*sessions)
        assert min([await at_once(*sessions) for _ in range(3)]) > 0.099


async def test_a_model_that_nobody_asks_holds_no_cores():
    async with workers(30.0, 30.0) as (idle, engine):
        kept_open, session = await opened(idle), await opened(engine)
        await at_once(kept_open)

        for _ in range(3):
            await at_once(session)

        assert engine.activity.done.waited_seconds == 0.0


async def test_a_model_that_is_killed_in_its_turn_holds_up_nobody():
    async with workers(5_000.0, 5.0) as (killed, engine):
        holder, session = await opened(killed), await opened(engine)
        lost = asyncio.ensure_future(holder.feed([3]))
        await computing(killed)
        pid = killed.worker_pid
        assert pid is not None
        waiting = asyncio.ensure_future(at_once(session))
        await asyncio.sleep(0.05)

        os.kill(pid, signal.SIGKILL)

        assert await waiting < 1.0
        await asyncio.wait([lost])
        assert lost.exception() is not None


async def test_a_model_that_is_stopped_in_its_turn_holds_up_nobody_for_long():
    limits = WorkerLimits(stopped_seconds=3.0)
    async with workers(1_000.0, 5.0, 5.0, limits=limits) as (stopped, *others):
        holder = await opened(stopped)
        sessions = [await opened(engine) for engine in others]
        lost = asyncio.ensure_future(holder.feed([3]))
        await computing(stopped)
        pid = stopped.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

        passed = [await at_once(*sessions) for _ in range(50)]

        assert max(passed) < 1.0
        # The others go on taking turns with each other.
        assert sorted(passed)[25] > 0.009
        await until(stopped, WorkerPhase.RESTARTING)
        await asyncio.wait([lost])
        assert lost.exception() is not None
        assert all(engine.restarts == 0 for engine in others)


async def test_a_model_that_waits_for_its_turn_is_not_stuck():
    async with workers(900.0) as (slow,):
        limits = WorkerLimits(step_timeout_seconds=0.5, wedged_after_seconds=0.4)
        spec = scripted_spec(uses_cores=True, step_delay_ms=5.0)
        turns = slow.turns
        async with ready(spec, cores=SHARED, turns=turns, limits=limits) as engine:
            holder, session = await opened(slow), await opened(engine)
            held = asyncio.ensure_future(holder.feed([3]))
            await computing(slow)

            waiting = asyncio.ensure_future(at_once(session))
            while not waiting.done():
                assert not engine.wedged
                await asyncio.sleep(0.02)

            assert await waiting > 0.7
            assert engine.restarts == 0
            await held


async def test_what_is_fed_while_a_model_waits_goes_into_the_same_decode_call():
    async with workers(400.0, 5.0) as (slow, engine):
        holder, sessions = await opened(slow), [await opened(engine) for _ in range(3)]
        held = asyncio.ensure_future(holder.feed([3]))
        await computing(slow)

        feeds = []
        for session in sessions:
            feeds.append(asyncio.ensure_future(session.feed([3])))
            await asyncio.sleep(0.03)
        await asyncio.wait([held, *feeds])

        assert engine.activity.done.steps == 1


async def test_a_model_that_uses_no_cores_waits_for_nobody():
    turns = Turns()
    async with (
        ready(scripted_spec(uses_cores=True, step_delay_ms=400.0), turns=turns) as slow,
        ready(scripted_spec(step_delay_ms=5.0), turns=turns) as engine,
    ):
        holder, session = await opened(slow), await opened(engine)
        held = asyncio.ensure_future(holder.feed([3]))
        await computing(slow)

        assert await at_once(session) < 0.2
        assert engine.activity.done.core_seconds == 0.0
        await held
