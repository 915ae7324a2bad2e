"""The native library's log: silent, but its last errors are kept to explain a failure."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable

from llama_cpp import llama_cpp as native

_DEBUG_LEVEL, _ERROR_LEVEL = 1, 4
_KEPT_LINES = 16
_NO_CAUSE = "failed to load model"
# What llama.cpp puts before a cause.
_PREAMBLES = ("error loading model: ", "failed to initialize the context: ")


class NativeLog:
    """Receives what llama.cpp logs, for as long as the process lives.

    llama.cpp has one log per process and calls it from any thread, so there is one ``NativeLog``
    and it is never freed: a callback that is collected while still registered is a crash.

    Args:
        on_text: Receives everything above debug output, as it comes: lines and parts of lines.
    """

    def __init__(self, on_text: Callable[[str], None] = lambda _text: None) -> None:
        self._on_text = on_text
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._callback = native.llama_log_callback(self._receive)

    def install(self) -> None:
        """Takes the place of the process's log."""
        native.llama_log_set(self._callback, ctypes.c_void_p(0))

    def clear(self) -> None:
        """Forgets earlier errors, before an operation whose own are wanted."""
        self._lines.clear()

    def cause(self, otherwise: str) -> str:
        """The first error since ``clear`` that explains something in one line, or ``otherwise``."""
        for line in self._lines:
            for preamble in _PREAMBLES:
                line = line.rpartition(preamble)[2]
            function, separator, rest = line.partition(": ")
            text = rest if separator and " " not in function else line
            if text and _NO_CAUSE not in text:
                return text
        return otherwise

    def _receive(self, level: int, text: bytes | None, _data: object) -> None:
        if level <= _DEBUG_LEVEL or not text:
            return
        line = text.decode("utf-8", errors="replace")
        self._on_text(line)
        if level == _ERROR_LEVEL:
            self._lines.append(" ".join(line.split()))


LOG = NativeLog()
"""The log of a process that runs a model."""
