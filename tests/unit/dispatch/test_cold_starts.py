from __future__ import annotations

import asyncio

from quorate.dispatch.cold_starts import ColdStarts

DEADLINE_SECONDS = 10.0


async def waits(starts: ColdStarts, plan: str = "p") -> asyncio.Task[float | None]:
    task = asyncio.create_task(starts.begin(plan))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_the_first_goes_at_once_and_the_others_learn_what_it_took() -> None:
    starts = ColdStarts()
    assert await starts.begin("p") is None
    others = [await waits(starts) for _ in range(2)]
    assert not any(task.done() for task in others)
    starts.end("p", 7.0, answered=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await asyncio.gather(*others) == [7.0, 7.0]
    starts.end("p", 9.0, answered=True)
    starts.end("p", 3.0, answered=True)
    assert await starts.begin("p") == 9.0


async def test_plans_do_not_wait_for_each_other() -> None:
    starts = ColdStarts()
    assert await starts.begin("p") is None
    assert await starts.begin("q") is None


async def test_after_one_without_an_answer_the_next_goes_alone() -> None:
    starts = ColdStarts()
    await starts.begin("p")
    second, third = await waits(starts), await waits(starts)
    starts.end("p", 2.0, answered=False)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await second is None
    assert not third.done()
    starts.end("p", 5.0, answered=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await third == 5.0


async def test_one_that_gives_up_waiting_lets_the_others_wait() -> None:
    starts = ColdStarts()
    await starts.begin("p")
    second, third = await waits(starts), await waits(starts)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert not third.done()
    starts.end("p", 5.0, answered=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await third == 5.0


async def test_an_energy_that_nobody_was_told_is_not_waited_for_again() -> None:
    starts = ColdStarts()
    await starts.begin("p")
    starts.end("p", None, answered=True)
    assert await starts.begin("p") is None
    assert await starts.begin("p") is None


async def test_nobody_waits_for_ever() -> None:
    starts = ColdStarts(patience_seconds=0.0)
    await starts.begin("p")
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await starts.begin("p") is None
    starts.end("p", None, answered=False)
    starts.end("p", 4.0, answered=True)
    assert await starts.begin("p") == 4.0


async def test_the_plan_that_ended_longest_ago_is_forgotten() -> None:
    starts = ColdStarts()
    for number in range(513):
        starts.end(f"p{number}", 1.0, answered=True)
    assert await starts.begin("p0") is None
    assert await starts.begin("p1") == 1.0
