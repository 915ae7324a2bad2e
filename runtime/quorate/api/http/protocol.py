"""Connections that are slow on purpose in either direction, or send what is no HTTP, are closed.

What uvicorn limits is how long a connection is idle between two requests. Here are limits as well
on the head of a request, which may come byte by byte, on an answer that nobody takes, and on what
is sent ahead of one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from quorate.api.http.errors import error_body
from quorate.api.http.feeding import (
    MOST_HEAD_BYTES,
    MOST_LINES,
    Feeds,
    HeldFlow,
    MeasuredConnection,
)
from quorate.api.http.settings import HttpSettings
from quorate.errors import InvalidRequest
from quorate.large_texts import as_json

_MOST_AHEAD_BYTES = 64 * 1024


class LimitedProtocol(H11Protocol):
    """One connection.

    Args:
        limits: How long a peer may take for what.
        feeds: Whose turn it is to be parsed.
        on_lost: Called once the connection is gone.
        arguments: As for the base.
    """

    def __init__(
        self, limits: HttpSettings, feeds: Feeds, on_lost: Callable[[], None], **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.conn: MeasuredConnection = MeasuredConnection(h11.SERVER, 2 * MOST_HEAD_BYTES)
        self.flow: HeldFlow
        self._limits = limits
        self._feeds = feeds
        self._on_lost = on_lost
        self._unfed = bytearray()
        self._waits = False
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._untaken = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected, and is to send the head of a request."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport, lambda: self.conn.their_state is not h11.SEND_BODY)
        # Whatever the peer does not take keeps the timer of a stalled reader running. Of asyncio's
        # two transports one pauses above the high mark, that of TLS at it, where 0 is always.
        high = 1 if transport.get_extra_info("sslcontext") is not None else 0
        transport.set_write_buffer_limits(high=high, low=0)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head = _cancel(self._head)
        self._stall = _cancel(self._stall)
        self._unfed.clear()
        self._on_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come, or of the rest of a body that nobody wants."""
        self._unfed += data
        if not self._waits:
            self._waits = True
            self._feeds.now(self._feed)
            if self._waits:
                self.flow.hold()

    def _feed(self) -> None:
        """Has some of what has come parsed, and the rest in its turn."""
        self._waits = False
        if self._unfed and self.conn.expects and not self.transport.is_closing():
            super().data_received(self.conn.take(self._unfed))
            if self.conn.overflows and not self.transport.is_closing():
                told = f"has a head of more than {MOST_LINES} lines or {MOST_HEAD_BYTES} bytes"
                self._refuse(431, told)
        self._go_on()

    def _go_on(self) -> None:
        """Sees to what comes next, once something has changed."""
        if self.transport.is_closing():
            self._unfed.clear()
            return
        if self._unfed and self.conn.expects and not self._waits:
            self._waits = True
            self._feeds.later(self._feed)
        if self._waits:
            self.flow.hold()
        else:
            self.flow.release()
        if len(self._unfed) > _MOST_AHEAD_BYTES and not self._waits:
            self.transport.abort()
        if self._is_answering:
            self._head = _cancel(self._head)
        else:
            self._await_head()

    def on_response_complete(self) -> None:
        """A request was answered, and another one may be there already."""
        super().on_response_complete()
        if self._unfed or self._is_answering:
            self._go_on()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._refuse(400, "is no HTTP that is read here")

    def _refuse(self, status: int, problem: str) -> None:
        """Tells what is wrong with a request if that can still be told, and hangs up."""
        began = self._is_answering and self.cycle.response_started
        if began or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        if self._is_answering:
            # Its handler is told that the client has left.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        told = as_json(error_body(InvalidRequest("request", problem), uuid.uuid4().hex))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(told)).encode("ascii")),
            (b"connection", b"close"),
        ]
        events = (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=told),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def pause_writing(self) -> None:
        """The peer does not take what is sent, for now."""
        super().pause_writing()
        if self._stall is None:
            self._await_reader()

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

    def _await_reader(self) -> None:
        self._untaken = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self._limits.stall_seconds, self._look_at_reader)

    def _look_at_reader(self) -> None:
        """Gives up a peer that has taken nothing since the last look."""
        if self.transport.get_write_buffer_size() < self._untaken:
            self._await_reader()
        else:
            self._give_up()

    def _give_up(self) -> None:
        # What waits to be sent would keep a connection that is only closed.
        self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
