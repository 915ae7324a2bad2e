"""Where calls begin one after the other, callers in turn, when many come at once.

What a call does first, its message read and its plan decided, it does in one piece. Four hundred
such pieces in a row would keep the event loop for a second: streams would stand still, and a call
that came behind them would not even be taken from the transport, whose turn order is that of
arrival. So the loop is free, between two calls, for as long as the last one kept it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from quorate.engines.fair_turns import Caller, FairTurns

_LONGEST_PAUSE_SECONDS = 0.005


class Turnstile:
    """Lets one call in after the other.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns: FairTurns[asyncio.Future[None]] = FairTurns(clock)
        self._turning = False

    async def enter(self, whose: str) -> None:
        """Returns when the caller's call may begin: at once where no other has just begun."""
        caller = Caller(whose)
        if not self._turning:
            self._let_in(caller)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.wait(caller, waiter)
        try:
            await waiter
        finally:
            self._turns.leave(caller, waiter)

    def _let_in(self, caller: Caller) -> None:
        self._turns.begin(caller, 1.0)
        self._turns.end(caller)
        self._turning = True
        # Comes behind what the call does at once.
        asyncio.get_running_loop().call_soon(self._pause, self._clock())

    def _pause(self, begun_at: float) -> None:
        if not self._turns.waiting:
            self._turning = False
            return
        busy = self._clock() - begun_at
        pause = min(busy, _LONGEST_PAUSE_SECONDS)
        asyncio.get_running_loop().call_later(pause, self._let_next_in)

    def _let_next_in(self) -> None:
        for caller, waiter in [*self._turns.heads()]:
            self._turns.leave(caller, waiter)
            # One that was cancelled a moment ago has not left yet.
            if not waiter.done():
                waiter.set_result(None)
                self._let_in(caller)
                return
        if self._turns.waiting:
            asyncio.get_running_loop().call_soon(self._let_next_in)
        else:
            self._turning = False
