"""Refusals are told at a pace, so that asking again at once gains nothing.

A call that is refused costs the server about as much to take in as any other, and doors take calls
in one after the other: whoever asks again without a pause keeps everybody's calls waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_PER_SECOND = 20.0
_AT_ONCE = 20
_LONGEST_SECONDS = 10.0
_REMEMBERED = 4096


class Pace:
    """How long to wait before a caller is told the next refusal: none, up to so many a second.

    It goes by the generic cell rate algorithm (ITU-T I.371).

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def delay_seconds(self, caller: str) -> float:
        """Counts one more refusal, and says how long to wait with it."""
        now = self._clock()
        if len(self._due) > _REMEMBERED:
            self._due = {name: due for name, due in self._due.items() if due > now}
        due = max(now, self._due.get(caller, now)) + 1.0 / _PER_SECOND
        delay = min(max(0.0, due - now - _AT_ONCE / _PER_SECOND), _LONGEST_SECONDS)
        # What is beyond the longest wait is forgotten.
        self._due[caller] = min(due, now + _LONGEST_SECONDS + _AT_ONCE / _PER_SECOND)
        return delay
