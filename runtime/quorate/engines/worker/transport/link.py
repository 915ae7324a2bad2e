"""The coordinator's end of the socket.

It sits on the event loop's reader directly: every token of every stream passes here, and a
transport with a protocol would cost as much again as reading and decoding the line does.

What a worker says is bounded before it costs anything: the length of a line, and how long lines are
read before others have their turn; meanwhile the socket is left alone, and a worker that goes on
waits. What it may say is known to whoever is told the messages.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable

from quorate.engines.worker.claims import LONGEST_LINE, OutOfTurn, cause
from quorate.engines.worker.messages import FROM_WORKER, TO_WORKER, ToWorker
from quorate.engines.worker.shortages import is_shortage
from quorate.engines.worker.transport.contract import OnMessage
from quorate.engines.worker.transport.lines import LineBuffer

_READ_BYTES = 1 << 14
_TURN_SECONDS = 0.0005
# Several of the largest prompts. A worker that reads nothing for long is ended by its watchdog.
_MOST_UNSENT = 1 << 29


class WorkerLink:
    """Sends and receives messages without ever blocking.

    What is sent within one turn of the event loop leaves in one piece at its end: branches and
    feeds that belong together reach the worker together, and so share a decode call.

    That the worker is gone is not reported here: the end of its process is what counts.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_message: OnMessage,
        on_out_of_turn: Callable[[str], None],
    ) -> None:
        """Starts to read; must be called on the event loop's thread.

        The connection, one end of a socket pair, is owned from now on. ``on_message`` may raise
        ``OutOfTurn``. ``on_out_of_turn`` is called once, with the cause, where it does or something
        cannot be read; nothing more is heard from then on.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._socket.setblocking(False)
        self._on_message = on_message
        self._on_out_of_turn = on_out_of_turn
        self._lines = LineBuffer(LONGEST_LINE)
        self._unread: deque[bytes] = deque()
        self._deaf = False
        self._unsent = bytearray()
        self._flush_due = False
        self._waits_to_write = False
        self._closed = False
        self._paused = False
        self._loop.add_reader(connection.fileno(), self._on_readable)

    def send(self, message: ToWorker | bytes) -> None:
        """Sends a message soon, or once the worker reads again; dropped once closed.

        Of a large one the line may be given, which was written on another thread.
        """
        if self._closed:
            return
        if len(self._unsent) > _MOST_UNSENT:
            self._loop.call_soon(self._fail, f"it has not read {len(self._unsent)} bytes")
            return
        self._unsent += message if isinstance(message, bytes) else TO_WORKER.encode(message)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def drain(self) -> None:
        """Takes everything that has come, such as the last words of a process that has ended."""
        while self._unread or self._read():
            self._tell()

    def close(self) -> None:
        """Sends what is left, as far as the worker takes it, and closes the channel. Idempotent.

        The worker notices.
        """
        if self._closed:
            return
        self._try_send(self._unsent)
        self._closed = True
        self._unread.clear()
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _try_send(self, data: bytearray) -> int:
        try:
            return self._socket.send(data)
        except ConnectionError:
            return len(data)
        except OSError as error:
            # The kernel may be short of memory for it, which passes as a full buffer does.
            if is_shortage(error):
                return 0
            raise

    def _flush(self) -> None:
        self._flush_due = False
        if not self._closed and not self._waits_to_write:
            self._write()

    def _write(self) -> None:
        del self._unsent[: self._try_send(self._unsent)]
        if bool(self._unsent) == self._waits_to_write:
            return
        self._waits_to_write = bool(self._unsent)
        if self._waits_to_write:
            self._loop.add_writer(self._socket.fileno(), self._write)
        else:
            self._loop.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        self._read()
        self._tell_in_turns()

    def _tell_in_turns(self) -> None:
        """Tells what was read, and goes on in later turns of the event loop where it is much."""
        paused = not self._tell(_TURN_SECONDS)
        if self._closed or self._deaf:
            return
        if paused:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_soon(self._tell_in_turns)
            self._paused = True
        elif self._paused:
            self._paused = False
            self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def _tell(self, seconds: float | None = None) -> bool:
        """Tells the messages that were read; False where the time was up before all were told."""
        until = None
        while self._unread:
            self._tell_one(self._unread.popleft())
            if seconds is None or not self._unread:
                continue
            now = time.perf_counter()
            until = now + seconds if until is None else until
            if now >= until:
                return False
        return True

    def _tell_one(self, line: bytes) -> None:
        try:
            message = FROM_WORKER.decode(line)
        except ValueError as error:
            self._fail(str(error))
            return
        try:
            self._on_message(message)
        except OutOfTurn as error:
            self._fail(str(error))

    def _read(self) -> bool:
        """Takes what has come; False where that was nothing."""
        if self._closed or self._deaf:
            return False
        try:
            data = self._socket.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        except OSError as error:
            if is_shortage(error):
                return False
            raise
        if not data:
            self._loop.remove_reader(self._socket.fileno())
            return False
        try:
            self._unread.extend(self._lines.push(data))
        except ValueError as error:
            self._fail(str(error))
            return False
        return True

    def _fail(self, problem: str) -> None:
        if self._closed or self._deaf:
            return
        self._deaf = True
        self._unread.clear()
        self._loop.remove_reader(self._socket.fileno())
        self._on_out_of_turn(cause(problem))
