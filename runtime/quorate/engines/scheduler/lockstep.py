"""Keeps sessions that advance in lock-step in one batch.

A session that took part in the last decode call usually feeds again within microseconds of its
result. A batch that starts with whoever is ready splits such sessions into two that alternate,
which nearly halves the throughput; so the next batch waits for them, but only for a small share of
what a decode call takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

GRACE_SHARE = 0.1
"""Share of a decode call's duration that waiting may cost."""

_SMOOTHING = 0.2


class Lockstep:
    """Knows who is expected to feed again, and how long that is worth waiting for.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expected: set[int] = set()
        self._began = 0.0
        self._ended = 0.0
        self._duration = 0.0

    def begin(self) -> None:
        """A decode call begins; whoever has not fed by now is no longer expected."""
        self._began = self._clock()
        self._expected.clear()

    def end(self, completed: Iterable[int], prefilling: bool) -> float:
        """A decode call ended; these sessions have their result and are expected to feed again.

        Where a prompt took part (``prefilling``) the duration says nothing of a decode step.

        Returns:
            What the call took, in seconds.
        """
        self._ended = self._clock()
        self._expected.update(completed)
        duration = self._ended - self._began
        if not prefilling:
            if self._duration:
                self._duration += _SMOOTHING * (duration - self._duration)
            else:
                self._duration = duration
        return duration

    def arrived(self, session: int) -> None:
        """A session has fed again, or will not."""
        self._expected.discard(session)

    def grace_seconds(self) -> float:
        """How long to wait for those still expected; 0.0 where waiting is not worth it."""
        if not self._expected:
            return 0.0
        return max(0.0, GRACE_SHARE * self._duration - (self._clock() - self._ended))
