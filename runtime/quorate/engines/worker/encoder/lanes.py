"""Which prompt an encoder is given next. Pure.

Short prompts and long ones wait in lanes of their own, so that neither kind ever waits for the
other: a long one costs short ones no more than the share of the processor that it takes. A prompt
that a process may have died of has the process for itself, so that the next death has one cause.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Generic, TypeVar

LONG_BYTES = 16 * 1024


class Lane(Enum):
    """Where a prompt waits; the value is how many of its kind are worked on at once."""

    SHORT = 3
    LONG = 1
    ALONE = -1


_Job = TypeVar("_Job")


class Lanes(Generic[_Job]):
    """What waits for an encoder."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[_Job]] = {lane: deque() for lane in Lane}
        self._running: dict[Lane, int] = dict.fromkeys(Lane, 0)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, job: _Job, lane: Lane, first: bool = False) -> None:
        """Has a job wait; ``first`` puts it before those that wait already."""
        if first:
            self._waiting[lane].appendleft(job)
        else:
            self._waiting[lane].append(job)

    def remove(self, job: _Job) -> bool:
        """Takes a job out that need not be done any more; False where it does not wait."""
        for waiting in self._waiting.values():
            if job in waiting:
                waiting.remove(job)
                return True
        return False

    def next(self) -> _Job | None:
        """A job that may begin now, which counts as begun; None where none may.

        Nothing begins while one must be alone, or waits to be.
        """
        if self._waiting[Lane.ALONE] or self._running[Lane.ALONE]:
            return None if any(self._running.values()) else self._begin(Lane.ALONE)
        for lane in (Lane.SHORT, Lane.LONG):
            if self._waiting[lane] and self._running[lane] < lane.value:
                return self._begin(lane)
        return None

    def done(self, lane: Lane) -> None:
        """A job that had begun is done."""
        self._running[lane] -= 1

    def take_all(self) -> list[_Job]:
        """Takes out everything that waits."""
        jobs = [job for waiting in self._waiting.values() for job in waiting]
        for waiting in self._waiting.values():
            waiting.clear()
        return jobs

    def _begin(self, lane: Lane) -> _Job:
        self._running[lane] += 1
        return self._waiting[lane].popleft()
