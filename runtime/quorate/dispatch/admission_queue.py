"""Where requests wait for their turn: so many run, so many wait, more are sent away.

Callers take turns: who has a thousand requests waiting delays another's first one by one turn at
most, and while others may come, one caller alone never holds the last places. A queue that is full
sends those away whose caller has most in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from quorate.engines.fair_turns import CALLER, Caller, FairTurns, kept_free
from quorate.errors import Overloaded, QuorateError, Unavailable
from quorate.routing.snapshot import QueueState

_SHORTEST_RETRY_SECONDS = 1.0
_DRAIN_RETRY_SECONDS = 5.0
_SMOOTHING = 0.2


class AdmissionQueue:
    """Admits requests, callers in turn, and those of one caller in the order they came.

    Who calls is what ``fair_turns.CALLER`` says of the task that asks.

    Args:
        max_running: Most requests running at once.
        max_waiting: Most requests that wait for their turn.
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(
        self, max_running: int, max_waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._clock = clock
        self._turns: FairTurns[asyncio.Future[float]] = FairTurns(clock)
        # More than may run at once, where those that stood aside have come back.
        self._running = 0
        self._bypassing = 0
        self._aside = 0
        self._typical_seconds = 0.0
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def state(self) -> QueueState:
        """How many run and wait now, and how long a request runs, lately."""
        return self._state(self._running, self._turns.waiting)

    @property
    def prospect(self) -> QueueState:
        """The same as the current caller's next request would find it, in its turn."""
        caller = CALLER.get()
        if not self._waits(caller):
            return self._state(min(self._running, self._max_running - 1), 0)
        running = max(self._running, self._max_running)
        if self._is_full(caller):
            return self._state(running, max(self._turns.waiting, self._max_waiting))
        return self._state(running, min(self._turns.ahead_of(caller), self._max_waiting - 1))

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[bool]:
        """Waits for a request's turn and lets it run for as long as the context lasts.

        Yields:
            Whether it had to wait, so that what was known before may no longer hold.

        Raises:
            Overloaded: As many requests wait already as may, and this caller has its share of them;
                or while it waited others came who had less.
            Unavailable: The service is draining.
        """
        self._refuse_while_draining()
        caller, expected = CALLER.get(), self._typical_seconds
        waits = self._waits(caller)
        if waits:
            expected = await self._wait_for_turn(caller)
        else:
            self._begin(caller, expected)
        started = self._clock()
        try:
            yield waits
        finally:
            self._end(caller, self._clock() - started, expected)

    @property
    def waiting_aside(self) -> int:
        """Requests that were admitted and let others run meanwhile."""
        return self._aside

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Lets others run while an admitted request waits for what nobody here can hasten.

        Afterwards it goes on at once, beside those that took its place: they might be waiting for
        it. No more stand aside than may wait; who comes then keeps its place. A drain waits for
        them all the same.
        """
        if self._aside >= self._max_waiting:
            yield
            return
        self._running -= 1
        self._aside += 1
        self._hand_out()
        try:
            yield
        finally:
            self._aside -= 1
            self._running += 1

    @contextmanager
    def bypass(self) -> Iterator[None]:
        """Lets a request run that takes no place here, and that a drain waits for all the same.

        Raises:
            Unavailable: The service is draining.
        """
        self._refuse_while_draining()
        self._bypassing += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._bypassing -= 1
            self._tell_when_empty()

    async def drain(self, deadline_seconds: float) -> bool:
        """Admits nothing more, sends away those who wait, and waits for those that run.

        Returns:
            Whether all of them ended before the deadline.
        """
        self._draining = True
        for _, waiter in self._turns.everyone():
            self._send_away(waiter, _draining())
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_turn(self, caller: Caller) -> float:
        """Returns what the turn is expected to take, which was paid for when it began."""
        self._make_room_for(caller)
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._turns.wait(caller, waiter)
        self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It was cancelled after its turn had begun.
                self._end(caller, 0.0, waiter.result(), learn=False)
            raise
        finally:
            self._turns.leave(caller, waiter)

    def _make_room_for(self, caller: Caller) -> None:
        if not self._is_full(caller):
            if self._turns.waiting >= self._max_waiting:
                longest = self._turns.last_of_longest(caller)
                assert longest is not None
                self._send_away(
                    longest[1],
                    Overloaded(
                        "made room for another caller, who has fewer requests waiting; "
                        "try again later",
                        self._retry_seconds(),
                    ),
                )
                self._turns.leave(*longest)
            return
        raise Overloaded(
            f"{self._running} requests run and {self._turns.waiting} wait, which is the limit; "
            "try again later",
            self._retry_seconds(),
        )

    def _is_full(self, caller: Caller) -> bool:
        """Whether a request of this caller that has to wait is sent away."""
        if self._turns.waiting < self._max_waiting:
            return False
        return self._turns.last_of_longest(caller) is None

    def _waits(self, caller: Caller) -> bool:
        """Whether its next request waits; those of others who do have no use for its place."""
        return bool(self._turns.waiting_of(caller)) or not self._has_place(caller)

    def _has_place(self, caller: Caller) -> bool:
        free = self._max_running - self._running
        if not self._turns.running_of(caller) or not self._turns.contended(caller):
            return free > 0
        return free > kept_free(self._max_running)

    def _hand_out(self) -> None:
        """Begins the turns of those who wait, as far as there are places."""
        while not self._draining and (chosen := self._next()) is not None:
            caller, waiter = chosen
            self._turns.leave(caller, waiter)
            # One that was cancelled a moment ago has not left yet.
            if not waiter.done():
                self._begin(caller, self._typical_seconds)
                waiter.set_result(self._typical_seconds)

    def _next(self) -> tuple[Caller, asyncio.Future[float]] | None:
        heads = self._turns.heads()
        return next((one for one in heads if one[1].done() or self._has_place(one[0])), None)

    def _begin(self, caller: Caller, expected: float) -> None:
        self._turns.begin(caller, expected or _SHORTEST_RETRY_SECONDS)
        self._running += 1
        self._empty.clear()

    def _end(self, caller: Caller, seconds: float, expected: float, learn: bool = True) -> None:
        self._turns.end(caller, seconds - (expected or _SHORTEST_RETRY_SECONDS))
        self._running -= 1
        self._tell_when_empty()
        if learn:
            previous = self._typical_seconds or seconds
            self._typical_seconds = previous + _SMOOTHING * (seconds - previous)
        self._hand_out()

    def _send_away(self, waiter: asyncio.Future[float], error: QuorateError) -> None:
        if not waiter.done():
            waiter.set_exception(error)

    def _state(self, running: int, waiting: int) -> QueueState:
        return QueueState(
            running, waiting, self._max_running, self._max_waiting, self._typical_seconds * 1000.0
        )

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise _draining()

    def _tell_when_empty(self) -> None:
        if not self._running and not self._bypassing and not self._aside:
            self._empty.set()

    def _retry_seconds(self) -> float:
        rounds = (self._turns.waiting + 1) / self._max_running
        return max(_SHORTEST_RETRY_SECONDS, rounds * self._typical_seconds)


def _draining() -> Unavailable:
    return Unavailable("the server is draining and takes no new requests", _DRAIN_RETRY_SECONDS)
