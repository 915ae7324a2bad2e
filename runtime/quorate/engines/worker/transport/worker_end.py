"""The worker's end: its socket, and the shared memories that it sizes and fills."""

from __future__ import annotations

import os
import select
import socket

from quorate.engines import sealed_memory
from quorate.engines.shared_rows import RowsWriter
from quorate.engines.vocabulary import Vocabulary
from quorate.engines.worker.messages import FROM_WORKER, TO_WORKER, FromWorker, ToWorker
from quorate.engines.worker.transport.lines import LineBuffer

_READ_BYTES = 1 << 16


class CoordinatorGone(Exception):
    """The other end of the channel is closed: there is nobody left to work for."""


class ControlChannel:
    """Reads and writes messages; blocks only as long as it is told to."""

    def __init__(self, descriptor: int) -> None:
        # select() waits with microseconds where poll() rounds up to a millisecond, but takes only
        # descriptors below 1024; a duplicate gets the lowest free number.
        self._socket = socket.socket(fileno=os.dup(descriptor))
        os.close(descriptor)
        self._lines = LineBuffer()

    def receive(self, timeout_seconds: float | None) -> list[ToWorker]:
        """Returns the messages that have come, in order.

        Args:
            timeout_seconds: How long to wait for the first one; 0 does not wait, None waits for
                ever. A message that is not complete yet also ends the waiting.

        Raises:
            CoordinatorGone: The other end is closed.
        """
        if timeout_seconds != 0:
            select.select([self._socket], [], [], timeout_seconds)
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError as error:
            raise CoordinatorGone from error
        if not data:
            raise CoordinatorGone
        return [TO_WORKER.decode(line) for line in self._lines.push(data)]

    def send(self, message: FromWorker) -> None:
        """Sends a message, waiting while the coordinator is behind with reading.

        Raises:
            CoordinatorGone: The other end is closed.
        """
        try:
            self._socket.sendall(FROM_WORKER.encode(message))
        except ConnectionError as error:
            raise CoordinatorGone from error

    def close(self) -> None:
        """Closes this end."""
        self._socket.close()


class SharedMemories:
    """What the worker shares of a loaded model.

    Args:
        rows: Descriptor of the memory for the log-probs, still empty.
        vocabulary: Descriptor of the memory for the vocabulary table, still empty.
    """

    def __init__(self, rows: int, vocabulary: int) -> None:
        self._rows = rows
        self._vocabulary = vocabulary

    def share(self, sessions: int, vocabulary: Vocabulary, block_rows: int) -> RowsWriter:
        """Writes the vocabulary table and makes a row and a block for each session."""
        rows = RowsWriter(self._rows, sessions, len(vocabulary), block_rows)
        sealed_memory.write(self._vocabulary, vocabulary.to_bytes())
        return rows
