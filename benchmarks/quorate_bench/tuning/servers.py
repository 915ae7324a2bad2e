"""Servers of several variants at once, as far as memory goes, of which one works at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from quorate.client import Client
from quorate_bench.serving import BenchServer
from quorate_bench.tuning.variants import Variant

# A server that pins models gives its cores back after two seconds without work; until then the next
# one could not have its models keep to them.
_REST_SECONDS = 2.3
MOST_SERVERS = 5
"""Loaded at the same time; more would seldom be used again."""

Start = Callable[[Variant], AbstractAsyncContextManager[BenchServer]]
"""Starts the server of a variant, and ends it with the context."""


@dataclass(slots=True)
class Running:
    """A server that runs.

    Attributes:
        warm: What was asked of it before, so that its first answers are over.
    """

    server: BenchServer
    client: Client
    stack: AsyncExitStack
    warm: set[Hashable] = field(default_factory=set)
    worked_at: float = 0.0


class Servers:
    """Starts servers as they are needed, and ends those that were longest not, for their memory.

    Args:
        start: Starts one.
        memory_bytes: What the server of a variant takes, roughly.
        available_bytes: What all of them may take.
        most: Servers loaded at the same time.
        pins: Whether the server of a variant has models keep to cores.
        on_start: Told before one is started.
    """

    def __init__(
        self,
        start: Start,
        memory_bytes: Callable[[Variant], float],
        available_bytes: float,
        most: int,
        pins: Callable[[Variant], bool],
        on_start: Callable[[], Any],
    ) -> None:
        self._start = start
        self._memory_bytes = memory_bytes
        self._available_bytes = available_bytes
        self._most = most
        self._pins = pins
        self._on_start = on_start
        self._running: dict[Variant, Running] = {}
        self._last: Variant | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for variant in [*self._running]:
            await self.end(variant)

    async def use(self, variant: Variant) -> tuple[Running, bool]:
        """The server of a variant, with all cores to itself, and whether another one worked last.

        Raises:
            CannotRun: It cannot be started.
        """
        self._leave()
        others = self._last is not None and self._last != variant
        if variant not in self._running:
            await self._make_room(variant)
            self._on_start()
            self._running[variant] = await self._started(variant)
        found = self._running.pop(variant)
        # Behind all others: the order is that of their last use.
        self._running[variant] = found
        if others:
            pinning = [one.worked_at for other, one in self._running.items()
                       if other != variant and self._pins(other)]  # fmt: skip
            last = max(pinning, default=-math.inf)
            await asyncio.sleep(max(0.0, last + _REST_SECONDS - time.monotonic()))
        self._last = variant
        return found, others

    async def end(self, variant: Variant) -> None:
        """Ends the server of a variant, if it runs."""
        if running := self._running.pop(variant, None):
            await running.stack.aclose()

    def _leave(self) -> None:
        if self._last in self._running:
            self._running[self._last].worked_at = time.monotonic()

    async def _started(self, variant: Variant) -> Running:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(self._start(variant))
            client = await stack.enter_async_context(Client(server.address))
            return Running(server, client, stack.pop_all())
        raise AssertionError("a stack passes nothing over")

    async def _make_room(self, variant: Variant) -> None:
        wanted = self._memory_bytes(variant)
        while self._running:
            held = sum(map(self._memory_bytes, self._running))
            if len(self._running) < self._most and held + wanted <= self._available_bytes:
                return
            await self.end(next(iter(self._running)))
