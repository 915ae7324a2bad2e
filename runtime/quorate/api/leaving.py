"""Clients leave: all calls of a connection end at once, and each has much to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
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


async def end_each(
    tasks: Iterable[asyncio.Future[Any]], turn: Callable[[], Awaitable[None]]
) -> None:
    """Ends those of the tasks that still run, each once it has its turn.

    The last is first: who waits for a place is not to begin because another has given up its own.
    """
    tasks = list(tasks)
    for task in reversed(tasks):
        if not task.done():
            with suppress(asyncio.CancelledError):
                await turn()
            task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        forget_outcome(task)


def forget_outcome(task: asyncio.Future[Any]) -> None:
    """Nobody is there to be told what it came to, but a task keeps that, and what cancelled it."""
    try:
        task.result()
    except BaseException as error:
        forget_frames(error)
