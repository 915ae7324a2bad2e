"""The time of the event loop, in slices of work, callers in turn.

All requests of the coordinator share one loop, and each consists of slices that run in one go: its
message read and its plan decided, its sessions opened, a symbol chosen and told. All that is ready
would run in one iteration of the loop, and who has much ready makes it long: four hundred calls are
a second, the rows of sixty streams fifty milliseconds in which nobody else gets on, and a request
takes a dozen iterations. So what begins in one iteration is limited, the rest waits, and callers
take turns: whoever was served least is next, by the time that slices took and not by their number.

Calls come from the transport one after the other, in the order they arrived whoever they are of,
and each takes two iterations at best, since a thread of gRPC's hands them over. So while calls
arrive the loop rests between two slices, for some times as long as the last one took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from quorate.engines.fair_turns import CALLER, Caller, FairTurns

ITERATION_SECONDS = 0.002
"""How long slices may begin in one iteration, before what is ready waits for the next ones."""

_REST_SECONDS = 0.002
_RESTS = 4.0
_LONGEST_REST_SECONDS = 0.01


class LoopTurns:
    """Lets slices of work begin. All of them belong on one event loop.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns: FairTurns[asyncio.Future[None]] = FairTurns(clock)
        # When the first slice of this iteration began; None while there was none.
        self._begun_at: float | None = None
        # Whose turn it is in this iteration, and when the slice began; None where nobody waited.
        self._served: tuple[Caller, float] | None = None
        self._arrived = False

    def arrive(self) -> None:
        """A call was taken from the transport, behind which others may be waiting.

        Those of strangers do not count: whoever has no key would slow down those who have.
        """
        self._arrived = True

    async def enter(self, caller: Caller | None = None) -> None:
        """Returns when a slice of a caller's work may begin: at once where there is time.

        The slice is what is done until the next ``await`` that waits. Without a caller it is work
        of whom the task works for.
        """
        if self._has_time():
            self._settle()
        else:
            await self.enter_alone(caller)

    async def enter_alone(self, caller: Caller | None = None) -> None:
        """The same for a slice that only sets off what another task does: one in an iteration."""
        caller = CALLER.get() if caller is None else caller
        if self._begun_at is None:
            self._begin()
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.wait(caller, waiter)
        try:
            await waiter
        finally:
            self._turns.leave(caller, waiter)
        # What it takes is known at its end.
        self._turns.begin(caller, 0.0)
        self._served = caller, self._clock()

    def _settle(self) -> None:
        """The slice of whose turn it was has ended."""
        if self._served is not None:
            caller, began = self._served
            self._served = None
            self._turns.end(caller, self._clock() - began)

    def _has_time(self) -> bool:
        """Whether slices begin in this iteration, nobody waits, and there is time for one more."""
        if self._begun_at is None or self._turns.waiting:
            return False
        return self._clock() - self._begun_at < ITERATION_SECONDS

    def _begin(self) -> None:
        self._begun_at = self._clock()
        # Comes behind what is ready now, and what was let in before.
        asyncio.get_running_loop().call_soon(self._end, self._begun_at)

    def _end(self, begun_at: float) -> None:
        self._settle()
        now = self._clock()
        self._go_on(now + min(_RESTS * (now - begun_at), _LONGEST_REST_SECONDS))

    def _go_on(self, rests_until: float) -> None:
        """Lets the next one in; while calls arrive, after a rest."""
        loop = asyncio.get_running_loop()
        rest = rests_until - self._clock()
        if self._arrived and self._turns.waiting and rest > 0:
            self._arrived = False
            loop.call_later(min(_REST_SECONDS, rest), self._go_on, rests_until)
            return
        self._arrived = False
        for caller, waiter in self._turns.heads():
            self._turns.leave(caller, waiter)
            # One that was cancelled a moment ago has not left yet.
            if not waiter.done():
                waiter.set_result(None)
                self._begin()
                return
        if self._turns.waiting:
            loop.call_soon(self._go_on, rests_until)
        else:
            self._begun_at = None
