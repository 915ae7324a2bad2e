"""The native library's log: its last errors explain a failure, its warnings are passed on.

llama.cpp warns of what makes answers worse and loads all the same. Whoever loads a model takes the
warnings of the load; later ones go to the coordinator's log, the same one once.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable

from llama_cpp import llama_cpp as native

from quorate.engines import worker_log
from quorate.engines.native_paths import without_build_paths

_DEBUG_LEVEL, _WARNING_LEVEL, _ERROR_LEVEL, _CONTINUED = 1, 3, 4, 5
_KEPT_LINES = 16
_KEPT_WARNINGS = 8
_LONGEST_WARNING = 300
_PASSED_ON = 64
_NO_CAUSE = "failed to load model"
# What llama.cpp puts before a cause.
_PREAMBLES = ("error loading model: ", "failed to initialize the context: ")
# What follows from options and is nobody's mistake, or is said better elsewhere.
_EXPECTED = (
    "the full capacity of the model will not be utilized",
    "using full-size SWA cache",
    # In nearly every vocabulary; what it does about them is in engines.vllm.vocabulary_roles too.
    "control-looking token",
    # What it knows of gpt-oss.
    "attribute to USER_DEFINED",
    "special_eog_ids contains both",
    "possible training context overflow",
    "missing pre-tokenizer type",
    "GENERATION QUALITY WILL BE DEGRADED",
    "CONSIDER REGENERATING THE MODEL",
)


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
        self._warnings: dict[str, None] = {}
        self._told: set[str] = set()
        self._loading = True
        self._level, self._unfinished = 0, ""
        self._callback = native.llama_log_callback(self._receive)

    def install(self) -> None:
        """Takes the place of the process's log."""
        native.llama_log_set(self._callback, ctypes.c_void_p(0))

    def clear(self) -> None:
        """Forgets earlier errors, before an operation whose own are wanted."""
        self._lines.clear()

    def begin_load(self) -> None:
        """Keeps warnings from now on, for ``end_load``."""
        self._loading = True
        self._warnings.clear()

    def end_load(self) -> tuple[str, ...]:
        """The warnings since ``begin_load``, each once, in one line; later ones are passed on."""
        self._loading = False
        kept = tuple(self._warnings)
        self._told.update(kept)
        if len(kept) > _KEPT_WARNINGS:
            left = len(kept) - _KEPT_WARNINGS
            return (*kept[:_KEPT_WARNINGS], f"llama.cpp has {left} further warnings")
        return kept

    def cause(self, otherwise: str) -> str:
        """The first error since ``clear`` that explains something in one line, or ``otherwise``."""
        for line in self._lines:
            for preamble in _PREAMBLES:
                line = line.rpartition(preamble)[2]
            text = without_build_paths(_without_function(line))
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
        self._assemble(level, line)

    def _assemble(self, level: int, text: str) -> None:
        """Puts lines together that come in parts, and takes the warnings among them."""
        if level != _CONTINUED:
            self._level, self._unfinished = level, ""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        # What never ends a line is cut off, and not collected for ever.
        self._unfinished = self._unfinished[-_LONGEST_WARNING:]
        if self._level == _WARNING_LEVEL:
            for line in lines:
                self._warn(line)

    def _warn(self, line: str) -> None:
        text = without_build_paths(_without_function(" ".join(line.split())))[:_LONGEST_WARNING]
        # Some warnings are framed in rows of stars.
        if not any(map(str.isalnum, text)) or any(known in text for known in _EXPECTED):
            return
        # Names out of files stand in it.
        text = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in text)
        text = f"llama.cpp warns: {text}"
        if self._loading:
            if len(self._warnings) < _PASSED_ON:
                self._warnings.setdefault(text)
        elif text not in self._told and len(self._told) < _PASSED_ON:
            self._told.add(text)
            worker_log.warn(text)


def _without_function(line: str) -> str:
    function, separator, rest = line.partition(": ")
    if separator and " " not in function:
        return rest
    return "" if line.endswith(":") and " " not in line else line


LOG = NativeLog()
"""The log of a process that runs a model."""
