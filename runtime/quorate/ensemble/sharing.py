"""Deltas that share a message, where their reader is slower than they come.

A message costs more than the token in it, for whoever writes and whoever reads. So a reader that
lags is given what came meanwhile at once. One that keeps up is told every token on its own, without
a moment's delay, and nothing runs ahead of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing

from quorate.ensemble.decode import Step
from quorate.request import Delta

LAG_SECONDS = 0.01
"""A reader that takes a step for longer than this lags, and so it does until the end."""

_MOST_SHARED = 64
"""Tokens of one delta, candidates and votes beside them counted, where several share it."""


async def ahead_of_laggards(
    steps: AsyncGenerator[Step, None], lag_seconds: float = LAG_SECONDS
) -> AsyncGenerator[Step, None]:
    """The same steps; where the reader lags, what comes meanwhile shares deltas.

    Behind the first step that it was slow to take, the answer goes on while the reader is busy, for
    as much as shares one delta. What ends the answer is told, or raised, behind all that came
    before.
    """
    async with aclosing(steps):
        async for step in steps:
            told_at = time.perf_counter()
            yield step
            if time.perf_counter() - told_at > lag_seconds:
                break
        else:
            return
        ahead = _Ahead(steps)
        going = asyncio.ensure_future(ahead.go_on())
        try:
            while taken := await ahead.take():
                for step in taken if len(taken) < 2 else sharing(taken):
                    yield step
            await going
        finally:
            going.cancel()
            # What it holds is free before anybody goes on.
            await asyncio.gather(going, return_exceptions=True)


class _Ahead:
    """An answer that goes on while its reader is busy, and what of it is not read yet."""

    def __init__(self, steps: AsyncIterator[Step]) -> None:
        self._steps = steps
        self._held: list[Step] = []
        self._weight = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    async def go_on(self) -> None:
        """Goes on to the end, while there is room."""
        try:
            async for step in self._steps:
                self._held.append(step)
                self._weight += _weight(step) if isinstance(step, Delta) else 0
                self._changed.set()
                if self._weight >= _MOST_SHARED:
                    self._has_room.clear()
                    await self._has_room.wait()
        finally:
            self._ended = True
            self._changed.set()

    async def take(self) -> list[Step]:
        """What came since the last call, once there is something; nothing at the end."""
        while not self._held and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        taken, self._held, self._weight = self._held, [], 0
        self._has_room.set()
        return taken


def sharing(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps, where small deltas that follow each other are one.

    Each costs a message, and whoever reads slower than they come need not pay for every one of
    them. Those of the reasoning and those of the answer stay apart.
    """
    held: list[Delta] = []
    weight = 0
    for step in steps:
        more = _weight(step) if isinstance(step, Delta) else _MOST_SHARED
        joins = isinstance(step, Delta) and (
            not held or (held[0].reasoning is None) == (step.reasoning is None)
        )
        if held and (not joins or weight + more > _MOST_SHARED):
            yield _joined(held)
            held, weight = [], 0
        if isinstance(step, Delta):
            held.append(step)
            weight += more
        else:
            yield step
    if held:
        yield _joined(held)


def _weight(delta: Delta) -> int:
    return sum(1 + len(token.top) + len(token.votes) for token in delta.tokens)


def _joined(deltas: Sequence[Delta]) -> Delta:
    if len(deltas) == 1:
        return deltas[0]
    first = deltas[0].reasoning
    return Delta(
        "".join(one.text for one in deltas),
        tuple(token for one in deltas for token in one.tokens),
        None if first is None else "".join(one.reasoning or "" for one in deltas),
    )
