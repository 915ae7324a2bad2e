"""Standard streams that never hold up whoever writes to them.

A pipe that nobody reads is full after 64 KiB, a terminal stands still after Ctrl-S, and a disk may
hang: a server that printed there itself would stop with them. Here lines go to a thread, which may
wait as long as it likes. What finds no room is dropped and counted, and told of as soon as the
reader goes on.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TextIO

QUEUED_BYTES = 1 << 20
LAST_WORDS_SECONDS = 1.0
"""Time that what is queued has to be written when the program ends."""

_LONGEST_UNFINISHED = 1 << 16
_RETRY_SECONDS = 1.0


def dropped_line(count: int) -> str:
    """What is told of lines that were dropped."""
    return f"quorate: {count} lines were dropped here, since nobody read them\n"


class UnblockedStream(io.TextIOBase):
    """Text for a descriptor, written by a thread. Writing to it never waits and never fails.

    Args:
        descriptor: Written to; it may block, and is owned from now on.
        stream: What it stands in for; tells of terminals and encodings.
        told: What is written in place of so many lines that were dropped.
    """

    def __init__(
        self, descriptor: int, stream: TextIO, told: Callable[[int], str] = dropped_line
    ) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._stream = stream
        self._told = told
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unfinished = ""
        self._dropped = 0
        self._ends = False
        self._writer = threading.Thread(target=self._run, name="stream-writer", daemon=True)
        self._writer.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream it stands in for."""
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        """Whether that stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """That stream's descriptor."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Takes a text; its last line waits until it is finished or flushed."""
        with self._changed:
            whole, end, rest = text.rpartition("\n")
            if end:
                self._put(self._unfinished + whole + end)
                self._unfinished = rest
            else:
                self._unfinished += rest
            if len(self._unfinished) > _LONGEST_UNFINISHED:
                self._put_unfinished()
        return len(text)

    def flush(self) -> None:
        """Hands on what is not a whole line yet; does not wait until it is written."""
        with self._changed:
            self._put_unfinished()

    def end(self, seconds: float = LAST_WORDS_SECONDS) -> None:
        """Ends the thread once all is written, or gives it up after so many seconds."""
        with self._changed:
            self._put_unfinished()
            self._ends = True
            self._changed.notify()
        self._writer.join(seconds)

    def _put_unfinished(self) -> None:
        text, self._unfinished = self._unfinished, ""
        if text:
            self._put(text)

    def _put(self, text: str) -> None:
        data = text.encode(self.encoding, "replace")
        if self._dropped or self._queued_bytes + len(data) > QUEUED_BYTES:
            self._dropped += max(1, text.count("\n"))
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._changed.notify()

    def _run(self) -> None:
        try:
            self._write_what_comes()
        finally:
            os.close(self._descriptor)

    def _write_what_comes(self) -> None:
        while (following := self._next()) is not None:
            data, lines = following
            try:
                _write_all(self._descriptor, data)
            except BrokenPipeError:
                # Nobody will ever read it.
                continue
            except OSError:
                # Such as a full disk, which may have room again later.
                with self._changed:
                    self._dropped += lines
                    if self._ends:
                        return
                    self._changed.wait(_RETRY_SECONDS)

    def _next(self) -> tuple[bytes, int] | None:
        """What is to be written next, and how many lines that stands for; None at the end."""
        with self._changed:
            while not self._queue and not self._dropped and not self._ends:
                self._changed.wait()
            if self._queue:
                data = self._queue.popleft()
                self._queued_bytes -= len(data)
                return data, max(1, data.count(b"\n"))
            # Told behind the lines that were queued before, and once for all that were not.
            if self._dropped:
                count, self._dropped = self._dropped, 0
                return self._told(count).encode(self.encoding, "replace"), count
            return None


@contextmanager
def unblocked_streams(told_on_stdout: Callable[[int], str] = dropped_line) -> Iterator[None]:
    """Has standard output and standard error never block until the block ends.

    ``told_on_stdout`` is what standard output gets in place of dropped lines. Libraries that write
    to the descriptors themselves are covered where those are pipes: what finds no room there is
    lost.
    """
    with ExitStack() as stack:
        for name, told in (("stdout", told_on_stdout), ("stderr", dropped_line)):
            stream: TextIO = getattr(sys, name)
            stream.flush()
            try:
                descriptor = stack.enter_context(_never_blocking(stream.fileno()))
            except OSError:
                # No descriptor behind it, as in tests: it cannot block.
                continue
            unblocked = UnblockedStream(os.dup(descriptor), stream, told)
            setattr(sys, name, unblocked)
            stack.callback(unblocked.end)
            stack.callback(setattr, sys, name, stream)
        yield


@contextmanager
def _never_blocking(descriptor: int) -> Iterator[int]:
    """A descriptor that blocks as before, while the given one no longer does if it is a pipe.

    The pipe is opened anew: other processes that hold it are not to be changed.
    """
    blocking = os.dup(descriptor)
    try:
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                anew = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
                os.dup2(anew, descriptor)
                os.close(anew)
        yield blocking
    finally:
        os.dup2(blocking, descriptor)
        os.close(blocking)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
