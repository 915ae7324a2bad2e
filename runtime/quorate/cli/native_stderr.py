"""What native libraries write to standard error themselves, and no logger can take from them.

gRPC's core writes a line for each handshake that fails: as many as anybody likes, from threads that
stop where nobody reads them. Here they come by way of a pipe. Those that somebody waits for go to
them; the others go on to where standard error goes, and are dropped where that takes no more.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

_MOST_BYTES = 2048
_END_SECONDS = 1.0


class NativeStderr:
    """While the context lasts, descriptor 2 is a pipe; ``sys.stderr`` goes past it.

    Args:
        wanted: Whether a line is for ``on_line``, whatever becomes of it there.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self.on_line: Callable[[str], None] | None = None

    def __enter__(self) -> Self:
        self._before: TextIO = sys.stderr
        self._before.flush()
        self._out = os.dup(2)
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        sys.stderr = os.fdopen(
            os.dup(self._out), "w", buffering=1, encoding="utf-8", errors="replace"
        )
        self._thread = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        own, sys.stderr = sys.stderr, self._before
        own.close()
        # The pipe ends with its last writer; a child may outlive us for a moment.
        os.dup2(self._out, 2)
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            os.close(self._out)

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines:
            while line := lines.readline(_MOST_BYTES):
                text = line.decode("utf-8", errors="replace")
                if not self._wanted(text):
                    self._pass_on(line)
                elif self.on_line is not None:
                    self.on_line(text)

    def _pass_on(self, line: bytes) -> None:
        # A reader that has gone, and a disk that is full, must not end this thread.
        with suppress(OSError):
            if select.select([], [self._out], [], 0)[1]:
                os.write(self._out, line)
