"""Where requests wait for their turn: so many run, so many wait, more are sent away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from quorate.errors import Overloaded, Unavailable
from quorate.routing.snapshot import QueueState

_SHORTEST_RETRY_SECONDS = 1.0
_DRAIN_RETRY_SECONDS = 5.0
_SMOOTHING = 0.2


class AdmissionQueue:
    """Admits requests in the order they came.

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
        self._slots = asyncio.Semaphore(max_running)
        self._running = 0
        self._bypassing = 0
        self._aside = 0
        # Requests that run without a slot, since others had taken theirs meanwhile.
        self._beyond = 0
        self._waiting = 0
        self._typical_seconds = 0.0
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def state(self) -> QueueState:
        """How many run and wait now, and how long a request runs, lately."""
        return QueueState(
            self._running,
            self._waiting,
            self._max_running,
            self._max_waiting,
            self._typical_seconds * 1000.0,
        )

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[bool]:
        """Waits for a request's turn and lets it run for as long as the context lasts.

        Yields:
            Whether it had to wait, so that what was known before may no longer hold.

        Raises:
            Overloaded: As many requests wait already as may.
            Unavailable: The service is draining.
        """
        self._refuse_while_draining()
        if self._waiting >= self._max_waiting and self._slots.locked():
            raise Overloaded(
                f"{self._running} requests run and {self._waiting} wait, which is the limit; "
                "try again later",
                self._retry_seconds(),
            )
        waited = self._slots.locked()
        await self._wait_for_slot()
        started = self._clock()
        try:
            self._refuse_while_draining()
            self._running += 1
            self._empty.clear()
            try:
                yield waited
            finally:
                self._end(self._clock() - started)
        finally:
            self._release_slot()

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
        self._release_slot()
        try:
            yield
        finally:
            self._aside -= 1
            self._running += 1
            if self._slots.locked():
                self._beyond += 1
            else:
                # Never waits, so that whoever was cancelled comes past it as well.
                await self._slots.acquire()

    @contextmanager
    def bypass(self) -> Iterator[None]:
        """Lets a request run that takes no slot here, and that a drain waits for all the same.

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
        for _ in range(self._waiting):
            # A slot for everyone who waits: with it they learn at once that nothing is admitted.
            self._slots.release()
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_slot(self) -> None:
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    def _release_slot(self) -> None:
        if self._beyond:
            self._beyond -= 1
        else:
            self._slots.release()

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise Unavailable(
                "the server is draining and takes no new requests", _DRAIN_RETRY_SECONDS
            )

    def _end(self, seconds: float) -> None:
        self._running -= 1
        self._tell_when_empty()
        previous = self._typical_seconds or seconds
        self._typical_seconds = previous + _SMOOTHING * (seconds - previous)

    def _tell_when_empty(self) -> None:
        if not self._running and not self._bypassing and not self._aside:
            self._empty.set()

    def _retry_seconds(self) -> float:
        rounds = (self._waiting + 1) / self._max_running
        return max(_SHORTEST_RETRY_SECONDS, rounds * self._typical_seconds)
