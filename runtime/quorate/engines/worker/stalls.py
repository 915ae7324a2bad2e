"""Notices that a process no longer moves."""

from __future__ import annotations

from collections.abc import Hashable


class StallClock:
    """Adds up for how long somebody has been waited for without any sign of progress.

    Time is added per look and never more than ``longest_gap_seconds`` at once: when the coordinator
    itself was stopped for a while (a debugger, a frozen container), its workers are not to blame.
    """

    def __init__(self, longest_gap_seconds: float) -> None:
        self._longest_gap = longest_gap_seconds
        self._marker: Hashable = None
        self._looked_at: float | None = None
        self.stuck_seconds = 0.0

    def look(self, now: float, marker: Hashable, waiting: bool) -> float:
        """Notes what is seen at time ``now`` and returns for how many seconds nothing moved.

        Args:
            now: Seconds of a monotonic clock.
            marker: Anything that changes with progress.
            waiting: Whether progress is expected at all.
        """
        gap = 0.0 if self._looked_at is None else min(now - self._looked_at, self._longest_gap)
        moved = not waiting or marker != self._marker
        self.stuck_seconds = 0.0 if moved else self.stuck_seconds + gap
        self._marker = marker
        self._looked_at = now
        return self.stuck_seconds
