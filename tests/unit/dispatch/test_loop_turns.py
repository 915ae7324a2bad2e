"""Whose slice of work begins in which iteration of the loop, by a clock that slices move on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

import pytest

from quorate.dispatch.loop_turns import ITERATION_SECONDS, LoopTurns
from quorate.engines.fair_turns import CALLER, Caller

DEADLINE_SECONDS = 10.0
A, B = Caller("a"), Caller("b")


class Slices:
    """Slices of work that take so long, and the order and iterations of the loop they began in."""

    def __init__(self, seconds: float = ITERATION_SECONDS) -> None:
        self.turns = LoopTurns(lambda: self._now)
        self.begun: list[tuple[str, int]] = []
        self._seconds = seconds
        self._now = 0.0
        self._iteration = 0

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.begun]

    async def slice(
        self, name: str, caller: Caller | None = A, seconds: float | None = None
    ) -> None:
        await self.turns.enter(caller)
        self.begun.append((name, self._iteration))
        self._now += self._seconds if seconds is None else seconds

    async def ended(self, *work: Awaitable[None]) -> None:
        """Waits for these while iterations are counted."""
        counting = asyncio.ensure_future(self._count())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.gather(*work)
        finally:
            counting.cancel()

    async def _count(self) -> None:
        while True:
            self._iteration += 1
            await asyncio.sleep(0)


def goes_at_once(entering: Awaitable[None]) -> bool:
    step = entering.__await__()
    try:
        next(step)
    except StopIteration:
        return True
    return False


async def test_a_lone_slice_begins_at_once_whenever_it_comes() -> None:
    slices = Slices()
    for _ in range(3):
        assert goes_at_once(slices.turns.enter(A))
        for _ in range(3):
            await asyncio.sleep(0)


async def test_what_a_iterationhas_time_for_begins_in_it() -> None:
    slices = Slices(ITERATION_SECONDS / 4)
    await slices.ended(*(slices.slice(str(number)) for number in range(4)))
    assert len({iteration for _, iteration in slices.begun}) == 1


async def test_what_it_has_no_time_for_begins_one_after_the_other_with_the_loop_free_between() -> (
    None
):
    slices = Slices()
    await slices.ended(*(slices.slice(str(number)) for number in range(30)))
    iterations = [iteration for _, iteration in slices.begun]
    assert all(second > first for first, second in pairwise(iterations))


async def test_of_one_caller_who_came_first_begins_first() -> None:
    slices = Slices()
    await slices.ended(*(slices.slice(str(number)) for number in range(20)))
    assert slices.names == [str(number) for number in range(20)]


async def test_a_caller_with_one_slice_comes_before_the_rest_of_one_with_many() -> None:
    slices = Slices()
    many = [slices.slice("many") for _ in range(50)]
    await slices.ended(*many, slices.slice("one", B))
    assert len(slices.begun) == 51
    assert slices.names.index("one") <= 2


@pytest.mark.parametrize("weight", [1.0, 3.0])
async def test_callers_get_time_by_weight_however_long_their_slices_are(weight: float) -> None:
    slices = Slices()
    heavy = Caller("b", weight)
    long = [slices.slice("long", A, 0.003) for _ in range(100)]
    short = [slices.slice("short", heavy, 0.0001) for _ in range(900)]
    await slices.ended(*long, *short)
    last = max(at for at, name in enumerate(slices.names) if name == "short")
    long_seconds = 0.003 * slices.names[:last].count("long")
    assert long_seconds == pytest.approx(0.09 / weight, abs=0.007)


async def test_slices_take_turns_by_whom_their_task_works_for() -> None:
    slices = Slices()

    async def work(name: str, caller: Caller) -> None:
        CALLER.set(caller)
        await slices.slice(name, None)

    works = [*(work("many", A) for _ in range(50)), work("one", B)]
    await slices.ended(*map(asyncio.ensure_future, works))
    assert slices.names.index("one") <= 2


async def test_calls_that_arrive_all_come_before_most_of_what_waits() -> None:
    slices = Slices()
    arrived: list[int] = []

    async def arrive() -> None:
        for _ in range(200):
            slices.turns.arrive()
            arrived.append(len(slices.begun))
            await asyncio.sleep(0)

    await slices.ended(arrive(), *(slices.slice("step") for _ in range(50)))
    assert len(slices.begun) == 50
    assert arrived[-1] <= 4


async def test_arrivals_without_end_keep_no_slice_from_its_turn() -> None:
    slices = Slices()
    over = asyncio.Event()

    async def arrive() -> None:
        while not over.is_set():
            slices.turns.arrive()
            slices._now += 1e-4
            await asyncio.sleep(0)

    arriving = asyncio.ensure_future(arrive())
    await slices.ended(*(slices.slice("step") for _ in range(20)))
    over.set()
    await arriving
    assert len(slices.begun) == 20


async def test_while_calls_arrive_it_rests_no_longer_than_some_times_a_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slices = Slices(1e-4)
    rests: list[float] = []
    loop = asyncio.get_running_loop()

    def noted(delay: float, *work: Any) -> asyncio.Handle:
        rests.append(delay)
        slices._now += delay
        return loop.call_soon(*work)

    async def step() -> None:
        await slices.turns.enter_alone(A)
        slices._now += 1e-4
        slices.turns.arrive()

    monkeypatch.setattr(loop, "call_later", noted)
    await asyncio.gather(*(step() for _ in range(20)))
    assert len(rests) >= 10
    assert max(rests) <= 4.1e-4


async def test_slices_that_were_given_up_keep_nobody_waiting() -> None:
    slices = Slices()
    await slices.slice("first")
    waiting = [asyncio.ensure_future(slices.slice(str(number))) for number in range(5)]
    await asyncio.sleep(0)
    for one in waiting[1:4]:
        one.cancel()
    await slices.ended(waiting[0], waiting[4], slices.slice("b", B))
    assert sorted(slices.names) == ["0", "4", "b", "first"]


async def test_it_is_open_again_when_nobody_waits() -> None:
    slices = Slices()
    await slices.ended(*(slices.slice("a") for _ in range(5)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert goes_at_once(slices.turns.enter(B))
