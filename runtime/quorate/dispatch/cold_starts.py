"""What to hold in the windows of joules for plans whose energy nobody knows yet."""

from __future__ import annotations

import asyncio

_PATIENCE_SECONDS = 60.0
_MAX_PLANS = 512


class ColdStarts:
    """Lets a plan whose energy nobody knows run once by itself, where joules are limited.

    Nothing can be held for such a plan, so that many requests at once could overspend a window by
    any amount. So one of them goes first and the others wait for it. Then as much is held for each
    as the dearest has taken so far, until its cost model knows better. A window is overspent by
    no more than what that first one takes.

    A first run whose answer is read slowly holds the others up for a minute at most; then one more
    of them goes ahead.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._running: dict[str, asyncio.Event] = {}
        self._dearest: dict[str, float | None] = {}

    async def begin(self, plan: str) -> float | None:
        """Waits for the first run of a plan, or begins it; ``end`` must follow in any case.

        Returns:
            Most joules that one of its runs took; None where none has ended with an answer, or
            where none was told its energy.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                while plan in self._running and plan not in self._dearest:
                    await self._running[plan].wait()
        except TimeoutError:
            pass
        self._running.setdefault(plan, asyncio.Event())
        return self._dearest.get(plan)

    def end(self, plan: str, joules: float | None, *, answered: bool) -> None:
        """A run is over; who waits for it goes on. One without a whole answer tells little."""
        running = self._running.pop(plan, None)
        if running is not None:
            running.set()
        if not answered:
            return
        before = self._dearest.pop(plan, None)
        known = [value for value in (before, joules) if value is not None]
        self._dearest[plan] = max(known, default=None)
        while len(self._dearest) > _MAX_PLANS:
            del self._dearest[next(iter(self._dearest))]
