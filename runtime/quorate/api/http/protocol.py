"""Connections that are too many, or slow on purpose in either direction, are closed.

What uvicorn limits is how long a connection is idle between two requests. Here are limits as well
on the head of a request, which may come byte by byte, and on an answer that nobody takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from quorate.api.http.settings import HttpSettings


class LimitedProtocol(H11Protocol):
    """One connection.

    Args:
        limits: How long a peer may take for what.
        arguments: As for the base.
    """

    def __init__(self, limits: HttpSettings, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected, and is to send the head of a request."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            transport.abort()
            return
        # Whatever the peer does not take keeps the timer of a stalled reader running.
        transport.set_write_buffer_limits(high=0)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head = _cancel(self._head)
        self._stall = _cancel(self._stall)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come, or of the rest of a body that nobody wants."""
        super().data_received(data)
        if self._is_answering:
            self._head = _cancel(self._head)
        else:
            self._await_head()

    def on_response_complete(self) -> None:
        """A request was answered, and another one may be there already."""
        super().on_response_complete()
        if self._is_answering:
            self._head = _cancel(self._head)

    def pause_writing(self) -> None:
        """The peer does not take what is sent, for now."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self._limits.stall_seconds, self._give_up)

    def resume_writing(self) -> None:
        """It has taken all of it."""
        self._stall = _cancel(self._stall)
        super().resume_writing()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self._limits.head_seconds, self._give_up)

    def _give_up(self) -> None:
        # What waits to be sent would keep a connection that is only closed.
        self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
