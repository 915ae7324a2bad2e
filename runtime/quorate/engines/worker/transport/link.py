"""The coordinator's end of the socket.

It sits on the event loop's reader directly: every token of every stream passes here, and a
transport with a protocol would cost as much again as reading and decoding the line does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from quorate.engines.worker.messages import FROM_WORKER, TO_WORKER, ToWorker
from quorate.engines.worker.shortages import is_shortage
from quorate.engines.worker.transport.contract import OnMessage
from quorate.engines.worker.transport.lines import LineBuffer

_READ_BYTES = 1 << 16


class WorkerLink:
    """Sends and receives messages without ever blocking.

    What is sent within one turn of the event loop leaves in one piece at its end: branches and
    feeds that belong together reach the worker together, and so share a decode call.

    That the worker is gone is not reported here: the end of its process is what counts.
    """

    def __init__(
        self, connection: socket.socket, on_message: OnMessage, on_unreadable: Callable[[str], None]
    ) -> None:
        """Starts to read; must be called on the event loop's thread.

        The connection, one end of a socket pair, is owned from now on. ``on_unreadable`` is called
        with a description of what cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._socket.setblocking(False)
        self._on_message = on_message
        self._on_unreadable = on_unreadable
        self._lines = LineBuffer()
        self._unsent = bytearray()
        self._flush_due = False
        self._waits_to_write = False
        self._closed = False
        self._loop.add_reader(connection.fileno(), self._read)

    def send(self, message: ToWorker | bytes) -> None:
        """Sends a message soon, or once the worker reads again; dropped once closed.

        Of a large one the line may be given, which was written on another thread.
        """
        if self._closed:
            return
        self._unsent += message if isinstance(message, bytes) else TO_WORKER.encode(message)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def drain(self) -> None:
        """Takes everything that has come, such as the last words of a process that has ended."""
        while self._read():
            continue

    def close(self) -> None:
        """Sends what is left, as far as the worker takes it, and closes the channel. Idempotent.

        The worker notices.
        """
        if self._closed:
            return
        self._try_send(self._unsent)
        self._closed = True
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

    def _read(self) -> bool:
        """Takes what has come; False where that was nothing."""
        if self._closed:
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
            messages = [FROM_WORKER.decode(line) for line in self._lines.push(data)]
        except ValueError as error:
            self._on_unreadable(str(error))
            return False
        for message in messages:
            self._on_message(message)
        return True
