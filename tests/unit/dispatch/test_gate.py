from __future__ import annotations

import asyncio

import pytest

from quorate.dispatch.gate import Gate
from quorate.errors import Overloaded, Unavailable


class Visitors:
    """Requests that stay inside until they are let go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.entered: list[str] = []
        self.leave = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def send(self, name: str) -> asyncio.Task[None]:
        async def visit() -> None:
            async with self.gate.enter():
                self.entered.append(name)
                await self.leave.wait()

        task = asyncio.create_task(visit())
        self.tasks.append(task)
        return task

    async def everyone_out(self) -> None:
        self.leave.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_requests_beyond_the_limit_wait_and_enter_in_order() -> None:
    visitors = Visitors(Gate(running=1, waiting=2))
    for name in "abc":
        visitors.send(name)
    await until(lambda: visitors.gate.waiting == 2)
    assert visitors.entered == ["a"]
    await visitors.everyone_out()
    assert visitors.entered == ["a", "b", "c"]


async def test_a_full_queue_refuses_and_says_when_to_retry() -> None:
    visitors = Visitors(Gate(running=1, waiting=1))
    visitors.send("a")
    visitors.send("b")
    await until(lambda: visitors.gate.waiting == 1)
    with pytest.raises(Overloaded) as refusal:
        async with visitors.gate.enter():
            pass
    assert refusal.value.retry_after_seconds >= 1.0
    assert "1 requests run and 1 wait" in refusal.value.message
    await visitors.everyone_out()


async def test_a_queue_of_no_places_still_admits_a_request_when_the_gate_is_free() -> None:
    gate = Gate(running=1, waiting=0)
    async with gate.enter():
        assert gate.inside == 1
    assert gate.inside == 0


async def test_a_waiter_that_is_cancelled_gives_up_its_place() -> None:
    visitors = Visitors(Gate(running=1, waiting=1))
    visitors.send("a")
    waiter = visitors.send("b")
    await until(lambda: visitors.gate.waiting == 1)
    waiter.cancel()
    await until(lambda: visitors.gate.waiting == 0)
    visitors.send("c")
    await until(lambda: visitors.gate.waiting == 1)
    await visitors.everyone_out()
    assert visitors.entered == ["a", "c"]
    assert visitors.gate.inside == 0


async def test_the_retry_hint_grows_with_the_typical_request() -> None:
    now = [0.0]
    gate = Gate(running=1, waiting=0, clock=lambda: now[0])
    async with gate.enter():
        now[0] = 40.0
    async with gate.enter():
        with pytest.raises(Overloaded) as refusal:
            async with gate.enter():
                pass
    assert refusal.value.retry_after_seconds == 40.0


async def test_draining_waits_for_those_inside_and_refuses_the_rest() -> None:
    visitors = Visitors(Gate(running=1, waiting=1))
    visitors.send("a")
    waiting = visitors.send("b")
    await until(lambda: visitors.gate.waiting == 1)
    draining = asyncio.create_task(visitors.gate.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="draining"):
        async with visitors.gate.enter():
            pass
    visitors.leave.set()
    assert await draining is True
    with pytest.raises(Unavailable, match="draining"):
        await waiting
    assert visitors.entered == ["a"]


async def test_draining_sends_those_away_who_wait_and_not_only_once_a_place_is_free() -> None:
    visitors = Visitors(Gate(running=1, waiting=2))
    visitors.send("a")
    waiting = [visitors.send("b"), visitors.send("c")]
    await until(lambda: visitors.gate.waiting == 2)
    draining = asyncio.create_task(visitors.gate.drain(5))
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert visitors.gate.inside == 1
    visitors.leave.set()
    assert await draining is True
    assert visitors.entered == ["a"]


async def test_draining_gives_up_at_its_deadline() -> None:
    visitors = Visitors(Gate(running=1, waiting=0))
    visitors.send("a")
    await until(lambda: visitors.gate.inside == 1)
    assert await visitors.gate.drain(0.01) is False
    await visitors.everyone_out()


async def test_draining_waits_for_those_who_pass_by_and_lets_no_more_through() -> None:
    gate = Gate(running=1, waiting=0)
    with gate.pass_by():
        assert not gate.inside
        drained = asyncio.create_task(gate.drain(30.0))
        await asyncio.sleep(0)
        assert not drained.done()
        with pytest.raises(Unavailable), gate.pass_by():
            pass
    assert await drained
