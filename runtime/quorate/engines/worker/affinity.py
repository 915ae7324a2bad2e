"""Moves this process to the cores it was given."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable


def places(count: int) -> tuple[int, ...]:
    """What stands for so many cores wherever there is room: numbers below 0, the same each time."""
    return tuple(range(-1, -count - 1, -1))


_INHERITED = frozenset(os.sched_getaffinity(0))


def pin_all_threads(cores: Iterable[int]) -> None:
    """Moves every thread of this process to these cores; threads started later inherit them.

    Of ``places`` alone they go back to what the process began with. Without ``/proc`` only the
    calling thread can be found and moved. Cores that are not allowed any more, as where a cpuset
    was made smaller, are left out; where none is left, the threads stay where they are.
    """
    allowed = {core for core in cores if core >= 0} or set(_INHERITED)
    pinned: set[int] = set()
    while fresh := _own_threads() - pinned:
        for task in fresh:
            try:
                os.sched_setaffinity(task, allowed)
            except ProcessLookupError:
                continue
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return
        pinned |= fresh


def _own_threads() -> set[int]:
    try:
        return {int(task) for task in os.listdir("/proc/self/task")}
    except OSError:
        return {threading.get_native_id()}
