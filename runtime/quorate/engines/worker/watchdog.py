"""Looks at a worker from time to time and says when it is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_LONGEST_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that a look shows.

    Attributes:
        name: What it is when there is no progress, such as "stuck"; each has a clock of its own.
        marker: Changes with progress.
        waiting: Whether progress is expected.
        patience_seconds: For how long its absence is borne.
    """

    name: str
    marker: Hashable
    waiting: bool
    patience_seconds: float


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
        """Notes what is seen, see ``Sighting``; returns for how many seconds nothing moved."""
        gap = 0.0 if self._looked_at is None else min(now - self._looked_at, self._longest_gap)
        moved = not waiting or marker != self._marker
        self.stuck_seconds = 0.0 if moved else self.stuck_seconds + gap
        self._marker = marker
        self._looked_at = now
        return self.stuck_seconds


class Watchdog:
    """Runs on the event loop until stopped or until it has barked.

    Args:
        look: Shows what there is to see, the most telling last.
        on_stuck: Told once what lasted too long, and for how many seconds it did.
        shortest_patience_seconds: The shortest of the sightings, from which its interval follows.
    """

    def __init__(
        self,
        look: Callable[[], Sequence[Sighting]],
        on_stuck: Callable[[str, float], None],
        shortest_patience_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sight = look
        self._on_stuck = on_stuck
        self._interval = min(_LONGEST_INTERVAL_SECONDS, shortest_patience_seconds / 4)
        self.reset()
        self._timer = self._loop.call_soon(self._look)

    @property
    def stuck_seconds(self) -> float:
        """For how long nothing has moved, by the sighting that shows it longest."""
        return max((clock.stuck_seconds for clock in self._clocks.values()), default=0.0)

    def reset(self) -> None:
        """Forgets for how long nothing has moved: from now on something else is expected."""
        self._clocks: dict[str, StallClock] = {}

    def stop(self) -> None:
        """Looks no more. Idempotent."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        lasted: tuple[str, float] | None = None
        for seen in self._sight():
            clock = self._clocks.setdefault(seen.name, StallClock(2 * self._interval))
            stuck = clock.look(now, seen.marker, seen.waiting)
            if stuck > seen.patience_seconds:
                lasted = seen.name, stuck
        if lasted is not None:
            self._on_stuck(*lasted)
            return
        self._timer = self._loop.call_later(self._interval, self._look)
