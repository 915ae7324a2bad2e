"""Which prompt an encoder is given next. Pure.

Short prompts and long ones wait in lanes of their own, so that neither kind ever waits for the
other: a long one costs short ones no more than the share of the processor that it takes. A prompt
that a process may have died of goes alone in its lane, so that the next death has one cause.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

LONG_BYTES = 16 * 1024
_SHORT_AT_ONCE, _LONG_AT_ONCE = 3, 1

_Job = TypeVar("_Job")


class Lanes(Generic[_Job]):
    """What waits for an encoder."""

    def __init__(self) -> None:
        self._short: deque[_Job] = deque()
        self._long: deque[_Job] = deque()
        self._running: dict[bool, int] = {False: 0, True: 0}

    def __len__(self) -> int:
        return len(self._short) + len(self._long)

    def add(self, job: _Job, long: bool, first: bool = False) -> None:
        """Has a job wait; ``first`` puts it before those that wait already."""
        lane = self._long if long else self._short
        if first:
            lane.appendleft(job)
        else:
            lane.append(job)

    def remove(self, job: _Job) -> bool:
        """Takes a job out that need not be done any more; False where it does not wait."""
        for lane in (self._short, self._long):
            if job in lane:
                lane.remove(job)
                return True
        return False

    def next(self) -> tuple[_Job, bool] | None:
        """A job that may begin now and whether it is a long one; None where none may."""
        for long, lane, most in (
            (False, self._short, _SHORT_AT_ONCE),
            (True, self._long, _LONG_AT_ONCE),
        ):
            if lane and self._running[long] < most:
                self._running[long] += 1
                return lane.popleft(), long
        return None

    def done(self, long: bool) -> None:
        """A job that had begun is done."""
        self._running[long] -= 1

    def take_all(self) -> list[_Job]:
        """Takes out everything that waits."""
        jobs = [*self._short, *self._long]
        self._short.clear()
        self._long.clear()
        return jobs
