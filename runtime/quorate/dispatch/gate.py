"""The door of the service: so many requests run, so many wait, more are sent away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from quorate.errors import Overloaded, Unavailable

_SHORTEST_RETRY_SECONDS = 1.0
_DRAIN_RETRY_SECONDS = 5.0
_SMOOTHING = 0.2


class Gate:
    """Admits requests in the order they came.

    Args:
        running: Most requests inside at once.
        waiting: Most requests that wait for a place.
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(
        self, running: int, waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most_running = running
        self.most_waiting = waiting
        self._clock = clock
        self._places = asyncio.Semaphore(running)
        self._inside = 0
        self._beside = 0
        self._waiting = 0
        self._typical_seconds = 0.0
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def inside(self) -> int:
        """Requests running now."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Requests waiting for a place now."""
        return self._waiting

    @property
    def typical_ms(self) -> float:
        """How long a request stays inside, lately; 0 before the first one left."""
        return self._typical_seconds * 1000.0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Waits for a place and holds it.

        Raises:
            Overloaded: As many requests wait already as may.
            Unavailable: The service is draining.
        """
        self._refuse_while_draining()
        if self._waiting >= self.most_waiting and self._places.locked():
            raise Overloaded(
                f"{self._inside} requests run and {self._waiting} wait, which is the limit; "
                "try again later",
                self._retry_seconds(),
            )
        await self._wait_for_place()
        started = self._clock()
        try:
            self._refuse_while_draining()
            self._inside += 1
            self._empty.clear()
            try:
                yield
            finally:
                self._leave(self._clock() - started)
        finally:
            self._places.release()

    @contextmanager
    def pass_by(self) -> Iterator[None]:
        """Lets a request through that takes no place here, and that a drain waits for all the same.

        Raises:
            Unavailable: The service is draining.
        """
        self._refuse_while_draining()
        self._beside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._beside -= 1
            self._tell_when_empty()

    async def drain(self, deadline_seconds: float) -> bool:
        """Admits nothing more, sends away those who wait, and waits for those inside.

        Returns:
            Whether all of them left before the deadline.
        """
        self._draining = True
        for _ in range(self._waiting):
            # A place for everyone who waits: with it they learn at once that the gate is closed.
            self._places.release()
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_place(self) -> None:
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise Unavailable(
                "the server is draining and takes no new requests", _DRAIN_RETRY_SECONDS
            )

    def _leave(self, seconds: float) -> None:
        self._inside -= 1
        self._tell_when_empty()
        previous = self._typical_seconds or seconds
        self._typical_seconds = previous + _SMOOTHING * (seconds - previous)

    def _tell_when_empty(self) -> None:
        if not self._inside and not self._beside:
            self._empty.set()

    def _retry_seconds(self) -> float:
        rounds = (self._waiting + 1) / self.most_running
        return max(_SHORTEST_RETRY_SECONDS, rounds * self._typical_seconds)
