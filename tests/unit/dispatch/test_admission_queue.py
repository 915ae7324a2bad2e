from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.engines.fair_turns import CALLER, Caller, kept_free
from quorate.errors import Overloaded, Unavailable
from support.clocks import Clock
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


class Crowd:
    """Requests of several callers over one queue; each runs until it is let go.

    Time passes only where one of them is let go, so that turns are not longer by what else the
    machine did.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.clock = Clock()
        self.queue = AdmissionQueue(max_running, max_waiting, self.clock)
        self.admitted: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, caller: str, *names: str, weight: float = 1.0) -> None:
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._call(Caller(caller, weight, True), name))
        await settle()

    async def finish(self, *names: str) -> None:
        self.clock.now += 1.0
        for name in names:
            self.ends[name].set()
        await asyncio.gather(*(self.tasks[name] for name in names), return_exceptions=True)
        await settle()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.queue.state.running, self.queue.state.waiting) == (0, 0)

    async def _call(self, caller: Caller, name: str) -> None:
        CALLER.set(caller)
        async with self.queue.admit():
            self.admitted.append(name)
            await self.ends[name].wait()


async def settle() -> None:
    """Lets every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_caller_leaves_a_place_for_another_who_comes() -> None:
    crowd = Crowd(max_running=4, max_waiting=100)
    await crowd.send("hog", *(f"h{number}" for number in range(20)))
    assert crowd.admitted == ["h0", "h1", "h2"]
    await crowd.send("late", "l0")
    assert crowd.admitted[-1] == "l0"
    await crowd.close()


async def test_who_has_a_place_at_once_sends_nobody_away_who_waits() -> None:
    crowd = Crowd(max_running=4, max_waiting=2)
    await crowd.send("hog", *(f"h{number}" for number in range(5)))
    await crowd.send("late", "l0")
    assert crowd.admitted[-1] == "l0"
    assert crowd.queue.state.waiting == 2
    await crowd.close()


async def test_callers_take_turns_however_many_requests_of_one_wait() -> None:
    crowd = Crowd(max_running=1, max_waiting=100)
    await crowd.send("hog", *(f"h{number}" for number in range(20)))
    await crowd.send("late", "l0", "l1", "l2")
    for _ in range(6):
        await crowd.finish(crowd.admitted[-1])
    assert sum(name.startswith("l") for name in crowd.admitted) == 3
    await crowd.close()


async def test_a_full_queue_sends_away_of_whoever_has_most_in_it() -> None:
    crowd = Crowd(max_running=1, max_waiting=4)
    await crowd.send("hog", *(f"h{number}" for number in range(5)))
    await crowd.send("late", "l0")
    with pytest.raises(Overloaded, match="made room for another caller"):
        await crowd.tasks["h4"]
    await crowd.send("hog", "one more")
    with pytest.raises(Overloaded, match="1 requests run and 4 wait"):
        await crowd.tasks["one more"]
    assert not crowd.tasks["l0"].done()
    await crowd.close()


async def test_each_caller_is_told_of_the_wait_that_is_its_own() -> None:
    crowd = Crowd(max_running=4, max_waiting=8)
    await crowd.send("hog", *(f"h{number}" for number in range(11)))
    queue = crowd.queue
    CALLER.set(Caller("hog", 1.0, True))
    assert queue.prospect.full
    CALLER.set(Caller("late", 1.0, True))
    assert (queue.prospect.full, queue.prospect.wait_ms) == (False, 0.0)
    await crowd.close()


@given(st.data())
def test_in_any_order_of_events_places_are_used_and_none_is_lost(data: st.DataObject) -> None:
    async def events() -> None:
        most = data.draw(st.integers(1, 5))
        crowd = Crowd(max_running=most, max_waiting=6)
        for number in range(data.draw(st.integers(5, 25))):
            happens = data.draw(st.sampled_from(("comes", "comes", "ends", "is cancelled")))
            open_now = [name for name, task in crowd.tasks.items() if not task.done()]
            if happens == "comes" or not open_now:
                await crowd.send(data.draw(st.sampled_from("abc")), str(number))
            elif happens == "ends":
                runs = [name for name in open_now if name in crowd.admitted]
                await crowd.finish(*runs[:1])
            else:
                crowd.tasks[data.draw(st.sampled_from(open_now))].cancel()
                if data.draw(st.booleans()):
                    await settle()
            state = crowd.queue.state
            assert 0 <= state.running <= most
            if data.draw(st.booleans()):
                await settle()
                state = crowd.queue.state
                # As long as somebody waits, all places run but those that are kept free.
                if state.waiting:
                    assert state.running >= most - kept_free(most)
        for task in crowd.tasks.values():
            if task.done() and not task.cancelled():
                assert task.exception() is None or isinstance(task.exception(), Overloaded)
        await crowd.close()

    asyncio.run(events())
