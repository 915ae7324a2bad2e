from __future__ import annotations

import asyncio

from quorate.dispatch.first_runs import FirstRuns

DEADLINE_SECONDS = 10.0


async def waits(runs: FirstRuns, plan: str = "p") -> asyncio.Task[float | None]:
    task = asyncio.create_task(runs.enter(plan))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_the_first_goes_at_once_and_the_others_learn_what_it_took() -> None:
    runs = FirstRuns()
    assert await runs.enter("p") is None
    others = [await waits(runs) for _ in range(2)]
    assert not any(task.done() for task in others)
    runs.leave("p", 7.0, True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await asyncio.gather(*others) == [7.0, 7.0]
    runs.leave("p", 9.0, True)
    runs.leave("p", 3.0, True)
    assert await runs.enter("p") == 9.0


async def test_plans_do_not_wait_for_each_other() -> None:
    runs = FirstRuns()
    assert await runs.enter("p") is None
    assert await runs.enter("q") is None


async def test_after_one_without_an_answer_the_next_goes_alone() -> None:
    runs = FirstRuns()
    await runs.enter("p")
    second, third = await waits(runs), await waits(runs)
    runs.leave("p", 2.0, False)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await second is None
    assert not third.done()
    runs.leave("p", 5.0, True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await third == 5.0


async def test_one_that_gives_up_waiting_lets_the_others_wait() -> None:
    runs = FirstRuns()
    await runs.enter("p")
    second, third = await waits(runs), await waits(runs)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert not third.done()
    runs.leave("p", 5.0, True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await third == 5.0


async def test_an_energy_that_nobody_was_told_is_not_waited_for_again() -> None:
    runs = FirstRuns()
    await runs.enter("p")
    runs.leave("p", None, True)
    assert await runs.enter("p") is None
    assert await runs.enter("p") is None


async def test_nobody_waits_for_ever() -> None:
    runs = FirstRuns(patience_seconds=0.0)
    await runs.enter("p")
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await runs.enter("p") is None
    runs.leave("p", None, False)
    runs.leave("p", 4.0, True)
    assert await runs.enter("p") == 4.0


async def test_the_plan_that_ended_longest_ago_is_forgotten() -> None:
    runs = FirstRuns()
    for number in range(513):
        runs.leave(f"p{number}", 1.0, True)
    assert await runs.enter("p0") is None
    assert await runs.enter("p1") == 1.0
