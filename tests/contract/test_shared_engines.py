"""What lets the contract suite run over an engine that all its tests share."""

from __future__ import annotations

import asyncio

import pytest

from quorate.engines.contract import Engine, Session
from quorate.errors import Unavailable
from quorate.request import TextPrompt
from support.scripted_models import scripted_engine
from support.shared_engines import SharedEngines

DEADLINE_SECONDS = 10.0
SESSIONS = 3


class Starts:
    """Starts engines and keeps them."""

    def __init__(self) -> None:
        self.started: list[Engine] = []

    async def __call__(self) -> Engine:
        self.started.append(scripted_engine(sessions=SESSIONS, context_length=64))
        return self.started[-1]


async def fill(engine: Engine) -> list[Session]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [await engine.open(8) for _ in range(SESSIONS)]


async def test_one_engine_serves_all_borrowers_and_knows_it_is_lent() -> None:
    engines, start = SharedEngines(), Starts()
    for _ in range(2):
        async with engines.lent("toy", start) as lent:
            assert lent.facts == start.started[0].facts
            assert await lent.encode(TextPrompt("a")) == await start.started[0].encode(
                TextPrompt("a")
            )
    assert len(start.started) == 1


async def test_sessions_and_waiters_left_behind_take_no_place_of_the_next_borrower() -> None:
    engines, start = SharedEngines(), Starts()
    async with engines.lent("toy", start) as lent:
        await fill(lent)
        waiters = [asyncio.create_task(lent.open(8)) for _ in range(SESSIONS)]
        await asyncio.sleep(0)
    async with engines.lent("toy", start) as lent:
        await fill(lent)
    assert all(waiter.done() for waiter in waiters)


async def test_branches_left_behind_are_closed_too() -> None:
    engines, start = SharedEngines(), Starts()
    async with engines.lent("toy", start) as lent:
        prompt = await lent.encode(TextPrompt("a"))
        root = await lent.open(8, 1)
        await root.feed(prompt)
        root.branch()
        root.close()
    async with engines.lent("toy", start) as lent:
        await fill(lent)


async def test_an_engine_that_was_closed_is_started_again() -> None:
    engines, start = SharedEngines(), Starts()
    async with engines.lent("toy", start) as lent:
        await lent.close()
    async with engines.lent("toy", start) as lent:
        await fill(lent)
    assert len(start.started) == 2


async def test_the_end_closes_every_engine() -> None:
    engines, start = SharedEngines(), Starts()
    for name in ("one", "two"):
        async with engines.lent(name, start):
            pass
    await engines.close()
    for engine in start.started:
        with pytest.raises(Unavailable):
            await engine.open(8)
