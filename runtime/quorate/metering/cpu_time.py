"""CPU time of the processes that serve."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COORDINATOR = ""
# The whole process and not a thread of it, time that the scheduler counted, in nanoseconds.
_PROCESS_CLOCK = 2
_PID_SHIFT = 3


def process_cpu_seconds(pid: int) -> float | None:
    """Seconds that a process has used in user and kernel mode; None where there is none.

    Linux has a clock for every process, as ``clock_getcpuclockid`` of POSIX names it. Unlike the
    times in ``/proc/PID/stat``, which come in hundredths of a second, it knows short answers too.
    """
    try:
        return time.clock_gettime((~pid << _PID_SHIFT) | _PROCESS_CLOCK)
    except OSError:
        return None


@dataclass(slots=True)
class _Process:
    """A process seen before, and what it had used when last read."""

    pid: int
    seconds: float


class CpuTime:
    """CPU seconds that each model's processes have used, added up over restarts.

    A process counts from its own start, even where it was running before it was first seen. What a
    process used between the last reading and its end is lost with it.

    Args:
        pids: The worker of each model that has one now.
        own_pid: The process of the coordinator, accounted under the model ``""``.
        seconds_of: CPU seconds of a process so far, None where there is none.
    """

    def __init__(
        self,
        pids: Callable[[], Mapping[str, int]],
        own_pid: int | None = None,
        seconds_of: Callable[[int], float | None] = process_cpu_seconds,
    ) -> None:
        self._pids = pids
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._seconds_of = seconds_of
        self._processes: dict[str, _Process] = {}
        self._past: dict[str, float] = {}

    @property
    def last(self) -> dict[str, float]:
        """What ``read`` gave last; nothing is asked of the system, unless nothing was before."""
        return self._sums() if self._processes else self.read()

    def read(self) -> dict[str, float]:
        """Seconds in user and kernel mode by model, never falling; unknown models are absent."""
        for model, pid in {COORDINATOR: self._own_pid, **self._pids()}.items():
            self._follow(model, pid)
        return self._sums()

    def _sums(self) -> dict[str, float]:
        return {
            model: self._past.get(model, 0.0) + process.seconds
            for model, process in self._processes.items()
        }

    def _follow(self, model: str, pid: int) -> None:
        seconds = self._seconds_of(pid)
        if seconds is None:
            return
        last = self._processes.get(model)
        if last is None:
            self._processes[model] = _Process(pid, seconds)
        elif last.pid == pid and seconds >= last.seconds:
            last.seconds = seconds
        else:
            # A clock that fell belongs to another process that got the number of the last one.
            self._past[model] = self._past.get(model, 0.0) + last.seconds
            self._processes[model] = _Process(pid, seconds)
