"""Clients leave: all calls of a connection end at once, and each has much to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from quorate.api.faults import forget_frames

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
        forget_outcome(task)
        raise
    return task.result()


def forget_outcome(task: asyncio.Future[Any]) -> None:
    """Nobody is there to be told what it came to, but a task keeps that, and what cancelled it."""
    try:
        task.result()
    except BaseException as error:
        forget_frames(error)
