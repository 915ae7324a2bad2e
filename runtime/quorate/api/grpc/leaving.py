"""Clients leave: all calls of a connection end at once, and each has much to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def to_its_end(
    answering: Coroutine[Any, Any, _Result], turn: Callable[[], Awaitable[None]]
) -> _Result:
    """Runs this in a task of its own; where it is cancelled, that task is once it has its turn."""
    task = asyncio.ensure_future(answering)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        with suppress(asyncio.CancelledError):
            await turn()
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            # Whatever it came to, nobody is there to be told.
            task.exception()
        raise
    return task.result()
