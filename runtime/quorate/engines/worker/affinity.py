"""Moves this process to the cores it was given."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable


def pin_all_threads(cores: Iterable[int]) -> None:
    """Moves every thread of this process to these cores; threads started later inherit them.

    Without ``/proc`` only the calling thread can be found and moved.

    Raises:
        OSError: None of the cores exists or is allowed.
    """
    allowed = set(cores)
    pinned: set[int] = set()
    while fresh := _own_threads() - pinned:
        for task in fresh:
            try:
                os.sched_setaffinity(task, allowed)
            except ProcessLookupError:
                continue
        pinned |= fresh


def _own_threads() -> set[int]:
    try:
        return {int(task) for task in os.listdir("/proc/self/task")}
    except OSError:
        return {threading.get_native_id()}
