"""The calls that are being answered: their ids on the wire, and their end when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import quote

import grpc

from quorate.access.record import CURRENT

REQUEST_ID = "quorate-request-id"
"""Name of the metadata that holds the id of a call."""

_STOPPED = "the server stops"

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def request_id_metadata(request_id: str) -> tuple[tuple[str, str], ...]:
    """The id of a call as metadata, which holds ASCII alone: any other is percent-encoded."""
    return ((REQUEST_ID, request_id if request_id.isascii() else quote(request_id, safe="")),)


async def tell_request_id(context: _Context) -> None:
    """Sends the id of the current call ahead of its first response.

    Not before there is one: a call whose headers have come is never tried again by its client.
    """
    await context.send_initial_metadata(request_id_metadata(CURRENT.get().request_id))


class RunningCalls:
    """Knows the tasks of all calls, so that the end of the server is told to each of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While the current task answers a call."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def stop(self) -> None:
        """Interrupts every call; ``was_stopped`` tells them from those whose caller has left."""
        for task in self._tasks:
            task.cancel(_STOPPED)

    @staticmethod
    def was_stopped(error: asyncio.CancelledError) -> bool:
        """Whether it was this that interrupted a call, which may still say so to its caller."""
        return error.args == (_STOPPED,)
