"""What peers send is handed to the parser of HTTP a little at a time.

The parser is written in Python and takes ten to twenty microseconds for each line of a head, for
each chunk of a body and for each line behind one: a second for what one read of a socket may bring,
before any key is looked at. So the parser is given few lines at once, and what all connections
together take of an iteration of the event loop has a limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import h11
from uvicorn.protocols.http.flow_control import FlowControl

MOST_HEAD_BYTES = 16 * 1024
"""Of the head of a request."""
MOST_LINES = 100
"""Of the head of a request, and of what stands behind a body in chunks."""

ITERATION_SECONDS = 0.001
"""How long feeding may begin in one iteration, before others wait for the next ones."""

_LINES_AT_ONCE = 32


class Feeds:
    """Whose turn it is to be fed. All connections of a server share one.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._spent = 0.0
        self._goes_on = False

    def now(self, feed: Callable[[], None]) -> None:
        """Calls this at once where there is time in this iteration and nobody waits."""
        if self._waiting or self._spent >= ITERATION_SECONDS:
            self.later(feed)
        else:
            self._run(feed)

    def later(self, feed: Callable[[], None]) -> None:
        """Calls this in one of the next iterations, in its turn."""
        self._waiting.append(feed)
        self._look_on()

    def _run(self, feed: Callable[[], None]) -> None:
        begun = self._clock()
        try:
            feed()
        finally:
            self._spent += self._clock() - begun
            self._look_on()

    def _look_on(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begins another iteration."""
        self._goes_on, self._spent = False, 0.0
        # Those that come meanwhile wait for another one.
        for _ in range(len(self._waiting)):
            if self._spent >= ITERATION_SECONDS:
                self._look_on()
                return
            self._run(self._waiting.popleft())


class MeasuredConnection(h11.Connection):
    """The parser, which knows how much of a body it still expects.

    Attributes:
        body_left: Bytes still to come of a body whose length was said.
    """

    body_left = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See the base."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            said = dict(event.headers)
            # Both is no error, and chunks are what counts then.
            chunked = b"transfer-encoding" in said
            self.body_left = 0 if chunked else int(said.get(b"content-length", b"0"))
        elif isinstance(event, h11.Data) and self.body_left:
            self.body_left -= len(event.data)
        return event

    @property
    def expects(self) -> bool:
        """Whether it is to be given more: not what a peer sends ahead of an answer."""
        return self.their_state in (h11.IDLE, h11.SEND_BODY)

    @property
    def overflows(self) -> bool:
        """Whether what it has, and cannot read yet, is more than ever becomes a head."""
        unread = self.trailing_data[0]
        return self.expects and (len(unread) >= MOST_HEAD_BYTES or unread.count(b"\n") > MOST_LINES)

    def take(self, waiting: bytearray) -> bytes:
        """Takes from what waits as much as it is to be given now."""
        if self.body_left:
            end = self.body_left
        else:
            # So that no head is read that is longer than it may be, though it came at once.
            room = MOST_HEAD_BYTES - len(self.trailing_data[0])
            end = _end_of_lines(waiting, max(1, room))
        taken = bytes(waiting[:end])
        del waiting[:end]
        return taken


def _end_of_lines(waiting: bytearray, most: int) -> int:
    """Where so many lines end as are dealt with in one go, ``most`` bytes at most."""
    at = 0
    for _ in range(_LINES_AT_ONCE):
        found = waiting.find(b"\n", at, most)
        if found < 0:
            return most
        at = found + 1
    return at


class HeldFlow(FlowControl):
    """Whether a peer is read from: not while some of it waits to be parsed.

    Args:
        transport: Of the connection.
        is_whole: Whether a request has come to its end. Its peer is read from whatever it sends
            ahead, since it is not heard to leave otherwise.
    """

    def __init__(self, transport: asyncio.Transport, is_whole: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_whole = is_whole
        self._held = False

    def pause_reading(self) -> None:
        """See the base."""
        if not self._is_whole():
            super().pause_reading()

    def resume_reading(self) -> None:
        """See the base."""
        if self._held:
            self.read_paused = False
        else:
            super().resume_reading()

    def hold(self) -> None:
        """Reads no more, whatever else is asked for."""
        self._held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Reads on, unless something else is in the way."""
        if self._held:
            self._held = False
            if not self.read_paused:
                self._transport.resume_reading()
