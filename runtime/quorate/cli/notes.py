"""What a command says beside its output, on standard error: for people, or as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextvars import ContextVar

from quorate.cli.events import event_line
from quorate.foreign_text import one_line

_AS_JSON: ContextVar[bool] = ContextVar("quorate_json", default=False)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON lines, also where nothing else of it can be read."""
    words = list(arguments)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def speak_json(as_json: bool) -> None:
    """Settles how everything is said on standard error from here on."""
    _AS_JSON.set(as_json)


def note(message: str) -> None:
    """Says something that is neither output nor an error, in one line."""
    text = one_line(message)
    line = event_line("note", {"message": text}) if _AS_JSON.get() else text
    print(line, file=sys.stderr, flush=True)
