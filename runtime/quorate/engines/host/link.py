"""The coordinator's end of the control channel.

It sits on the event loop's reader directly: every token of every stream passes here, and a
transport with a protocol would cost as much again as reading and decoding the line does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from quorate.engines.host.messages import (
    FromWorker,
    LineBuffer,
    ToWorker,
    decode_from_worker,
    encode,
)

_READ_BYTES = 1 << 16


class WorkerLink:
    """Sends and receives messages without ever blocking.

    That the worker is gone is not reported here: the end of its process is what counts.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_message: Callable[[FromWorker], None],
        on_garbage: Callable[[str], None],
    ) -> None:
        """Starts to read; must be called on the event loop's thread.

        Args:
            connection: One end of a socket pair; owned from now on.
            on_message: Called with each message, in order.
            on_garbage: Called with a description of what cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._socket.setblocking(False)
        self._on_message = on_message
        self._on_garbage = on_garbage
        self._lines = LineBuffer()
        self._unsent = bytearray()
        self._closed = False
        self._loop.add_reader(connection.fileno(), self._read)

    def send(self, message: ToWorker) -> None:
        """Sends a message, or keeps it until the worker reads again; dropped once closed."""
        if self._closed:
            return
        data = encode(message)
        if self._unsent:
            self._unsent += data
            return
        sent = self._try_send(data)
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._socket.fileno(), self._write)

    def drain(self) -> None:
        """Takes everything that has come, such as the last words of a process that has ended."""
        while self._read():
            continue

    def close(self) -> None:
        """Stops reading and closes the channel; the worker notices. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _try_send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            return len(data)

    def _write(self) -> None:
        del self._unsent[: self._try_send(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> bool:
        """Takes what has come; False where that was nothing."""
        if self._closed:
            return False
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket.fileno())
            return False
        try:
            messages = [decode_from_worker(line) for line in self._lines.push(data)]
        except ValueError as error:
            self._on_garbage(str(error))
            return False
        for message in messages:
            self._on_message(message)
        return True
