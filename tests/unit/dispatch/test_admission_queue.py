from __future__ import annotations

import asyncio

import pytest

from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.errors import Overloaded, Unavailable
from support.dispatching import until


class Callers:
    """Requests that run until they are let go."""

    def __init__(self, queue: AdmissionQueue) -> None:
        self.queue = queue
        self.admitted: list[str] = []
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def send(self, *names: str, waiting: int = 0) -> list[asyncio.Task[None]]:
        """Sends these one after the other, until one runs and so many wait."""
        sent = [asyncio.create_task(self._call(name)) for name in names]
        self.tasks += sent
        await until(lambda: (self.queue.state.running, self.queue.state.waiting) == (1, waiting))
        return sent

    async def _call(self, name: str) -> None:
        async with self.queue.admit():
            self.admitted.append(name)
            await self.end.wait()

    async def all_end(self) -> None:
        self.end.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_requests_beyond_the_limit_wait_and_run_in_order() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=2))
    await callers.send("a", "b", "c", waiting=2)
    assert callers.admitted == ["a"]
    await callers.all_end()
    assert callers.admitted == ["a", "b", "c"]


async def test_a_full_queue_refuses_and_says_when_to_retry() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=1))
    await callers.send("a", "b", waiting=1)
    with pytest.raises(Overloaded) as refusal:
        async with callers.queue.admit():
            pass
    assert refusal.value.retry_after_seconds >= 1.0
    assert "1 requests run and 1 wait" in refusal.value.message
    await callers.all_end()


async def test_a_queue_of_no_places_still_admits_a_request_when_the_gate_is_free() -> None:
    queue = AdmissionQueue(max_running=1, max_waiting=0)
    async with queue.admit():
        assert queue.state.running == 1
    assert queue.state.running == 0


async def test_a_waiter_that_is_cancelled_gives_up_its_turn() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=1))
    _, waiter = await callers.send("a", "b", waiting=1)
    waiter.cancel()
    await until(lambda: callers.queue.state.waiting == 0)
    await callers.send("c", waiting=1)
    await callers.all_end()
    assert callers.admitted == ["a", "c"]
    assert callers.queue.state.running == 0


async def test_the_retry_hint_grows_with_the_typical_request() -> None:
    now = [0.0]
    queue = AdmissionQueue(max_running=1, max_waiting=0, clock=lambda: now[0])
    async with queue.admit():
        now[0] = 40.0
    async with queue.admit():
        with pytest.raises(Overloaded) as refusal:
            async with queue.admit():
                pass
    assert refusal.value.retry_after_seconds == 40.0


async def test_draining_waits_for_those_that_run_and_refuses_the_rest() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=1))
    _, waiting = await callers.send("a", "b", waiting=1)
    draining = asyncio.create_task(callers.queue.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="draining"):
        async with callers.queue.admit():
            pass
    callers.end.set()
    assert await draining is True
    with pytest.raises(Unavailable, match="draining"):
        await waiting
    assert callers.admitted == ["a"]


async def test_draining_sends_those_away_who_wait_and_not_only_once_another_ends() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=2))
    _, *waiting = await callers.send("a", "b", "c", waiting=2)
    draining = asyncio.create_task(callers.queue.drain(5))
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert callers.queue.state.running == 1
    callers.end.set()
    assert await draining is True
    assert callers.admitted == ["a"]


async def test_draining_gives_up_at_its_deadline() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=0))
    await callers.send("a")
    assert await callers.queue.drain(0.01) is False
    await callers.all_end()


async def test_draining_waits_for_those_that_bypass_it_and_lets_no_more_through() -> None:
    queue = AdmissionQueue(max_running=1, max_waiting=0)
    with queue.bypass():
        assert not queue.state.running
        drained = asyncio.create_task(queue.drain(30.0))
        await asyncio.sleep(0)
        assert not drained.done()
        with pytest.raises(Unavailable), queue.bypass():
            pass
    assert await drained


async def test_whoever_stands_aside_gives_its_place_to_one_other_and_keeps_none_afterwards() -> (
    None
):
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=2))
    queue = callers.queue
    async with queue.admit():
        async with queue.aside():
            assert (queue.state.running, queue.waiting_aside) == (0, 1)
            await callers.send("a", "b", waiting=1)
        # It goes on beside the one that took its place, which may be waiting for it.
        assert (queue.state.running, queue.waiting_aside) == (2, 0)
    assert (queue.state.running, queue.state.waiting) == (1, 1)
    await callers.all_end()
    assert callers.admitted == ["a", "b"]
    again = Callers(queue)
    await again.send("c", "d", waiting=1)
    await again.all_end()


async def test_whoever_leaves_while_it_stands_aside_takes_no_place_with_it() -> None:
    callers = Callers(AdmissionQueue(max_running=1, max_waiting=2))
    with pytest.raises(ZeroDivisionError):
        async with callers.queue.admit(), callers.queue.aside():
            raise ZeroDivisionError
    assert (callers.queue.state.running, callers.queue.waiting_aside) == (0, 0)
    await callers.send("a", "b", waiting=1)
    await callers.all_end()
    assert await callers.queue.drain(1.0)
