from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import numpy as np
import pytest

from quorate.engines.generation import SAMPLED_AHEAD
from quorate.engines.scheduler.contract import NoRoom
from quorate.errors import Internal, Unavailable, UnsupportedPlan, WorkerLost
from support.in_process import InProcessEngine, InProcessWorker
from support.scripted_models import engine_sampling, fresh_row, scripted_engine, scripted_model


@pytest.fixture
async def engine() -> AsyncIterator[InProcessEngine]:
    engine = scripted_engine("toy", sessions=2, context_length=64, batch_tokens=4)
    yield engine
    await engine.close()


async def turns(count: int = 5) -> None:
    """Lets the event loop go round a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_concurrent_feeds_share_a_decode_call() -> None:
    engine = scripted_engine("toy", crash_after_steps=2)
    sessions = [await engine.open(8) for _ in range(8)]
    rows = await asyncio.gather(*(s.feed([9, 10 + i]) for i, s in enumerate(sessions)))
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(row, fresh_row([9, 10 + index]))
    await engine.close()


async def test_rows_are_read_only_views_of_the_session(engine: InProcessEngine) -> None:
    session = await engine.open(8)
    first = await session.feed([9])
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0
    assert await session.feed([8]) is first


async def test_the_death_of_the_worker_reaches_everyone_who_waits(engine: InProcessEngine) -> None:
    idle, busy = await engine.open(8), await engine.open(64)
    feeding = busy.feed([9] * 64)
    opening = asyncio.create_task(engine.open(8))
    await turns(1)
    engine.lose("killed by SIGKILL")
    for waiting in (feeding, opening):
        with pytest.raises(WorkerLost, match=r"model toy: .*killed by SIGKILL"):
            await waiting
    for feed in (lambda: idle.feed([9]), lambda: idle.feed_block([9], 1)):
        with pytest.raises(WorkerLost):
            await feed()
    for call in (lambda: idle.rewind(0), idle.branch):
        with pytest.raises(WorkerLost):
            call()
    with pytest.raises(Unavailable, match="restarting"):
        await engine.open(8)
    idle.close()
    busy.close()


async def test_the_death_of_the_worker_reaches_scores_and_whole_fork_groups() -> None:
    engine = scripted_engine("toy", sessions=4, context_length=64)
    root, scored = await engine.open(16, 2), await engine.open(64)
    await root.feed([9])
    branch = root.branch()
    scoring, feeding = scored.score([9] * 64), branch.feed([8])
    group = asyncio.create_task(engine.open(8, 3))
    await turns(1)
    engine.lose("killed by SIGKILL")
    for waiting in (scoring, group):
        with pytest.raises(WorkerLost, match="killed by SIGKILL"):
            await waiting
    with pytest.raises(WorkerLost):
        root.branch()
    engine.recover()
    for session in (branch, root, scored):
        session.close()
    np.testing.assert_array_equal(await (await engine.open(8, 3)).feed([9]), fresh_row([9]))
    feeding.cancel()
    await engine.close()


@pytest.mark.parametrize("fork", [True, False])
async def test_a_fork_group_that_shares_nothing_reserves_kv_tokens_for_every_branch(
    fork: bool,
) -> None:
    engine = scripted_engine(sessions=3, context_length=64, cells=70, fork=fork)
    with pytest.raises(UnsupportedPlan, match=r"1 branches of 36 tokens.* need 72 KV cells"):
        await engine.open(36, 1)
    root = await engine.open(35, 1)
    await root.feed([9] * 34)
    np.testing.assert_array_equal(await root.branch().feed([8]), fresh_row([9] * 34 + [8]))
    await engine.close()


async def test_a_recovered_engine_starts_with_an_empty_cache(engine: InProcessEngine) -> None:
    session = await engine.open(16)
    await session.feed([9] * 10)
    engine.lose("killed by SIGKILL")
    ready = asyncio.create_task(engine.wait_ready())
    await turns()
    assert not ready.done()
    engine.recover()
    await ready
    session.close()
    again = await engine.open(16)
    np.testing.assert_array_equal(await again.feed([9] * 10), fresh_row([9] * 10))
    assert again.cached_tokens == 0


async def test_sessions_lost_but_not_closed_do_not_disturb_new_ones(
    engine: InProcessEngine,
) -> None:
    lost = await engine.open(8)
    await lost.feed([9])
    engine.lose("killed by SIGKILL")
    engine.recover()
    fresh = await engine.open(8)
    await fresh.feed([9])
    lost.close()
    np.testing.assert_array_equal(await fresh.feed([8]), fresh_row([9, 8]))


async def test_a_closed_engine_wakes_everyone_with_unavailable(engine: InProcessEngine) -> None:
    sessions = [await engine.open(64), await engine.open(64)]
    feeding = sessions[0].feed([9] * 64)
    opening = asyncio.create_task(engine.open(8))
    await turns(1)
    await engine.close()
    await engine.close()
    engine.lose("killed by SIGKILL")
    for waiting in (feeding, opening, engine.wait_ready(), engine.open(8)):
        with pytest.raises(Unavailable, match="model toy is closed"):
            await waiting
    for session in sessions:
        session.close()


async def test_closing_a_session_in_mid_feed_cancels_the_feed(engine: InProcessEngine) -> None:
    session = await engine.open(64)
    feeding = session.feed([9] * 64)
    session.close()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    with pytest.raises(Internal, match="model toy: the session is closed"):
        await session.feed([9])


async def test_after_a_cancelled_feed_a_session_can_only_be_closed(engine: InProcessEngine) -> None:
    session, other = await engine.open(64), await engine.open(64)
    feeding = session.feed([9] * 64)
    feeding.cancel()
    for feed in (session.feed([9]), session.feed_block([9], 1)):
        with pytest.raises(Internal, match="last feed has not ended"):
            await feed
    for call in (session.branch, lambda: session.rewind(0)):
        with pytest.raises(Internal, match="last feed has not ended"):
            call()
    session.close()
    await asyncio.wait_for(engine.open(64), 10)
    other.close()


async def test_the_work_starts_at_the_call_and_its_time_is_counted(engine: InProcessEngine) -> None:
    session = await engine.open(64)
    assert session.busy_seconds == 0.0
    future = session.feed([9, 8])
    await turns()
    assert future.done()
    assert session.position == 2
    assert session.busy_seconds > 0


async def test_an_exception_of_the_model_is_a_lost_worker_that_returns() -> None:
    model = scripted_model(context_length=64)
    engine = InProcessEngine("toy", model)
    session = await engine.open(8)

    def fail(chunks: object) -> None:
        raise NoRoom("no cells")

    decode, model.decode = model.decode, fail  # type: ignore[method-assign]
    with pytest.raises(WorkerLost, match="NoRoom: no cells"):
        await session.feed([9])
    model.decode = decode  # type: ignore[method-assign]
    session.close()
    await engine.wait_ready()
    again = await engine.open(8)
    np.testing.assert_array_equal(await again.feed([9]), fresh_row([9]))
    await engine.close()


async def test_what_the_model_cannot_do_is_an_unsupported_plan() -> None:
    engine = scripted_engine(fork=False, rewind=False)
    session = await engine.open(8)
    await session.feed([9])
    with pytest.raises(UnsupportedPlan, match="model toy: its engine cannot rewind"):
        session.rewind(1)
    await engine.close()


async def test_the_death_of_the_worker_ends_a_generation_behind_what_it_sampled() -> None:
    engine = scripted_engine("toy", generate=True)
    session = await engine.open(64)
    stream = session.generate([9, 8, 7], engine_sampling(max_tokens=32))
    first = [one.token for one in await anext(stream)]
    await turns(1)
    engine.lose("killed by SIGKILL")
    last = [one.token for one in await anext(stream)]
    assert len(first) + len(last) < 32
    held = [9, 8, 7]
    for token in first + last:
        assert token == int(fresh_row(held).argmax())
        held.append(token)
    with pytest.raises(WorkerLost, match="killed by SIGKILL"):
        await anext(stream)
    with pytest.raises(WorkerLost):
        await anext(session.generate([9], engine_sampling()))
    session.close()
    engine.recover()
    again = await engine.open(64)
    assert [one async for one in again.generate([9], engine_sampling(max_tokens=2))]
    await engine.close()


async def test_a_generation_waits_for_its_reader_and_tells_all_of_it() -> None:
    engine = scripted_engine("toy", generate=True)
    most = 3 * SAMPLED_AHEAD
    stalled, read = await engine.open(most + 1), await engine.open(most + 1)
    stream = stalled.generate([9], engine_sampling(max_tokens=most))
    expected = [
        one async for some in read.generate([9], engine_sampling(max_tokens=most)) for one in some
    ]
    await turns(SAMPLED_AHEAD)
    assert not engine.has_work
    assert stalled.position == SAMPLED_AHEAD
    sampled = [one async for some in stream for one in some]
    assert sampled == expected
    assert len(sampled) == most
    assert stalled.position == read.position == most
    await engine.close()


async def test_a_sampler_of_the_models_own_waits_for_nobody() -> None:
    engine = scripted_engine("toy", own_sampler=True)
    session = await engine.open(2 * SAMPLED_AHEAD + 1)
    stream = session.generate([9], engine_sampling(max_tokens=2 * SAMPLED_AHEAD))
    await turns(2 * SAMPLED_AHEAD)
    (sampled,) = [some async for some in stream]
    assert len(sampled) == 2 * SAMPLED_AHEAD
    await engine.close()


async def test_a_reader_that_leaves_a_generation_that_waits_frees_all() -> None:
    engine = scripted_engine("toy", generate=True, sessions=1)
    session = await engine.open(512)
    stream = session.generate([9], engine_sampling(max_tokens=500))
    await turns(2 * SAMPLED_AHEAD)
    session.close()
    assert [some async for some in stream] == []
    again = await engine.open(512)
    assert np.isfinite((await again.feed([9])).max())
    await engine.close()


async def test_a_generation_starts_at_the_call_and_counts_its_time() -> None:
    engine = scripted_engine("toy", generate=True, step_delay_ms=1.0)
    session = await engine.open(64)
    stream = session.generate([9, 8, 7], engine_sampling(max_tokens=3))
    await turns()
    assert session.position == 5
    busy = session.busy_seconds
    assert busy >= 0.003
    (sampled,) = [some async for some in stream]
    assert len(sampled) == 3
    assert session.busy_seconds == busy
    await engine.close()
    assert session.busy_seconds == busy


@pytest.mark.parametrize("told", [[0.0, 1e9], [1e9, 0.0], [0.0, float("nan")]])
async def test_time_that_a_worker_says_it_waited_is_taken_off_as_far_as_it_passed(
    engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch, told: list[float]
) -> None:
    waited = iter(told)
    monkeypatch.setattr(InProcessWorker, "waited_seconds", property(lambda worker: next(waited)))
    session = await engine.open(8)

    await session.feed([9])

    assert 0.0 <= session.busy_seconds < 5.0
    assert (session.busy_seconds > 0.0) is (told[1] == 0.0 or math.isnan(told[1]))
