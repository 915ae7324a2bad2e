"""How a worker says something that the people at the coordinator's log should read.

A marked line on standard error: libraries print there too, and theirs is for debugging.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

WARNINGS_AT_ONCE = 20
WARNINGS_PER_SECOND = 1.0

_MARK = "quorate warns: "


def warn(text: str) -> None:
    """Has the coordinator log one line, under the name of this worker's model."""
    print(f"{_MARK}{' '.join(text.split())}", file=sys.stderr, flush=True)


def warning_in(line: str) -> str | None:
    """The warning that a line of a worker's standard error is, or None."""
    return line.removeprefix(_MARK) if line.startswith(_MARK) else None


class WarningFilter:
    """Lets through what a worker warns of: some lines at once, then one a second.

    A model file or library may make a worker say more than anybody reads.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._room = float(WARNINGS_AT_ONCE)
        self._at = clock()
        self._dropped = 0

    def let_through(self, warning: str) -> list[str]:
        """What of a further warning is to be logged, with how many were left out before it."""
        now = self._clock()
        earned = (now - self._at) * WARNINGS_PER_SECOND
        self._room, self._at = min(self._room + earned, WARNINGS_AT_ONCE), now
        if self._room < 1:
            self._dropped += 1
            return []
        self._room -= 1
        dropped, self._dropped = self._dropped, 0
        return [f"{dropped} further warnings were left out", warning] if dropped else [warning]
