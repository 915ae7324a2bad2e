"""How many requests use each model: now, and on average over a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Count:
    """Requests of one model now, and request-seconds so far."""

    now: int = 0
    seconds: float = 0.0
    changed_at: float = 0.0

    def at(self, moment: float) -> float:
        return self.seconds + self.now * (moment - self.changed_at)

    def add(self, change: int, moment: float) -> None:
        self.seconds, self.changed_at = self.at(moment), moment
        self.now += change


@dataclass(frozen=True, slots=True)
class ActivitySpan:
    """A request that uses some models since a moment.

    Attributes:
        before: Request-seconds of each of them until then.
        each: As how many requests it counts.
    """

    since: float
    before: Mapping[str, float]
    each: int = 1


class Activity:
    """Counts the requests that use each model.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    @property
    def now(self) -> dict[str, int]:
        """Requests that use each model now; those that nobody uses may be missing."""
        return {model: count.now for model, count in self._counts.items()}

    def begin(self, models: Iterable[str], each: int = 1) -> ActivitySpan:
        """A request begins to use these models, each named once.

        ``each`` is how many answers of every one of them it makes at once.
        """
        moment = self._clock()
        before = {}
        for model in models:
            count = self._counts.setdefault(model, _Count(changed_at=moment))
            before[model] = count.at(moment)
            count.add(each, moment)
        return ActivitySpan(moment, before, each)

    def end(self, span: ActivitySpan) -> float:
        """It no longer does.

        Returns:
            How many requests used its busiest model meanwhile, itself included, on average.
        """
        moment = self._clock()
        busiest = 1.0
        for model, before in span.before.items():
            count = self._counts[model]
            if moment > span.since:
                busiest = max(busiest, (count.at(moment) - before) / (moment - span.since))
            count.add(-span.each, moment)
        return busiest
