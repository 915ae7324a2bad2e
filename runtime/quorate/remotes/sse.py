"""Server-sent events as bytes come in: lines, fields, events. Pure, and bounded.

The rules are those of the HTML standard, section "Server-sent events" (interpreting an event
stream), with one leniency: an event that the end of the stream leaves without its blank line counts
all the same, since many servers leave out the last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# A run of them at once: a flood of blank lines must not cost a step for each.
_LINE_ENDS = re.compile(rb"(?:\r\n|\n|\r)+")
_SINGLE_ENDS = (b"\n", b"\r", b"\r\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """A line or an event has more bytes than any should have."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event with data; what else its block said (``id``, ``retry``) is of no use here.

    Attributes:
        name: Of the field ``event``, or "".
        data: Its lines of ``data``, joined by line feeds, as bytes of UTF-8.
    """

    name: str
    data: bytes


class EventReader:
    """Reads a stream of events from pieces of any size.

    Args:
        most_bytes: Of one line, and of all lines of one event together.
        most_noise_bytes: Of all that stands between two events and is no data.
    """

    def __init__(self, most_bytes: int, most_noise_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._most_noise_bytes = most_noise_bytes
        self._noise = 0
        self._line = bytearray()
        self._ends_with_return = False
        self._first_line = True
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that this piece completes.

        Raises:
            EventTooLarge: A line, an event or what stands between two is larger than it may be.
        """
        if not piece:
            return []
        start = 1 if self._ends_with_return and piece[:1] == b"\n" else 0
        self._ends_with_return = piece.endswith(b"\r")
        events = []
        for ends in _LINE_ENDS.finditer(piece, start):
            self._line += piece[start : ends.start()]
            start = ends.end()
            found = [self._take_line()]
            if ends.group() not in _SINGLE_ENDS:
                self._noise += start - ends.start()
                found.append(self._dispatch())
            events += [event for event in found if event is not None]
        self._line += piece[start:]
        self._check()
        return events

    def finish(self) -> list[ServerEvent]:
        """The event that the end of the stream completes, if there is one."""
        event = (self._take_line() if self._line else None) or self._dispatch()
        return [] if event is None else [event]

    def _take_line(self) -> ServerEvent | None:
        self._check()
        line = bytes(self._line)
        self._line.clear()
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            self._noise += 1
            return self._dispatch()
        self._size += len(line) + 1
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field != b"data" or not value:
            self._noise += len(line) + 1
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        elif not field:
            # A comment is no part of an event.
            self._size -= len(line) + 1
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = b"", [], 0
        if not any(data):
            return None
        self._noise = 0
        return ServerEvent(name.decode("utf-8", "replace"), b"\n".join(data))

    def _check(self) -> None:
        if len(self._line) + self._size > self._most_bytes:
            raise EventTooLarge(f"an event of more than {self._most_bytes} bytes")
        if self._noise > self._most_noise_bytes:
            raise EventTooLarge(f"more than {self._most_noise_bytes} bytes that say nothing")
