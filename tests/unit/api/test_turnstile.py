from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import pairwise

import pytest

from quorate.api.grpc.turnstile import Turnstile

DEADLINE_SECONDS = 10.0


async def ended(*work: Awaitable[None]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*work)


async def test_a_lone_call_begins_at_once() -> None:
    entering = Turnstile().enter("a")
    with pytest.raises(StopIteration):
        entering.send(None)


async def test_a_caller_with_one_call_comes_before_the_rest_of_one_with_many() -> None:
    turnstile = Turnstile()
    begun: list[str] = []

    async def call(whose: str) -> None:
        await turnstile.enter(whose)
        begun.append(whose)

    await ended(*(call("many") for _ in range(50)), call("one"))
    assert len(begun) == 51
    assert begun.index("one") <= 2


async def test_of_one_caller_who_came_first_begins_first() -> None:
    turnstile = Turnstile()
    begun: list[int] = []

    async def call(number: int) -> None:
        await turnstile.enter("a")
        begun.append(number)

    await ended(*map(call, range(20)))
    assert begun == [*range(20)]


async def test_everything_else_has_a_turn_between_two_calls() -> None:
    turnstile, over = Turnstile(), asyncio.Event()
    seen: list[str] = []

    async def call() -> None:
        await turnstile.enter("a")
        seen.append("call")

    async def something_else() -> None:
        while not over.is_set():
            seen.append("else")
            await asyncio.sleep(0)

    other = asyncio.ensure_future(something_else())
    await ended(*(call() for _ in range(30)))
    over.set()
    await ended(other)
    calls = [at for at, what in enumerate(seen) if what == "call"]
    assert len(calls) == 30
    assert all(second - first > 1 for first, second in pairwise(calls))


async def test_calls_that_were_given_up_keep_nobody_waiting() -> None:
    turnstile = Turnstile()
    await turnstile.enter("a")
    waiting = [asyncio.ensure_future(turnstile.enter("a")) for _ in range(5)]
    await asyncio.sleep(0)
    for one in waiting[:4]:
        one.cancel()
    await ended(waiting[4], turnstile.enter("b"))


async def test_it_is_open_again_when_nobody_waits() -> None:
    turnstile = Turnstile()
    await ended(*(turnstile.enter("a") for _ in range(5)))
    for _ in range(3):
        await asyncio.sleep(0)
    entering = turnstile.enter("b")
    with pytest.raises(StopIteration):
        entering.send(None)
