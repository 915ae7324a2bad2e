"""Who still uses a model that is to be unloaded."""

from __future__ import annotations

import asyncio


class Uses:
    """How many use one life of a model."""

    def __init__(self) -> None:
        self.count = 0
        self._over = asyncio.Event()
        self._over.set()

    def begin(self) -> None:
        """One more uses it."""
        self.count += 1
        self._over.clear()

    def end(self) -> None:
        """One of them uses it no more."""
        self.count -= 1
        if not self.count:
            self._over.set()

    def end_all(self) -> None:
        """The life is over, whoever still counts."""
        self._over.set()

    async def over(self) -> None:
        """Waits until nobody uses it."""
        while not self._over.is_set():
            await self._over.wait()
