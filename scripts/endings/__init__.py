"""How programs of these scripts end: with one line, and nothing left half done."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def leave_in_order() -> None:
    """Has SIGTERM end this program by an exception, so that what is unfinished is taken away."""
    signal.signal(signal.SIGTERM, _leave)


def fail(program: str, line: str, *, status: int = 1) -> int:
    """Says on standard error why a program fails, and returns its exit status."""
    print(f"{program}: {line}", file=sys.stderr)
    return status


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
