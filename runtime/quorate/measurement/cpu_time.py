"""CPU time of the processes that serve, and the energy estimated from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quorate.generation import EnergyTier
from quorate.measurement.counters import Hardware

PROC = Path("/proc")
COORDINATOR = ""
_UTIME, _STIME, _STARTED = 11, 12, 19


@dataclass(slots=True)
class _Process:
    """A process seen before: which one, and what it had used when last read."""

    pid: int
    started: int
    ticks: int


class CpuTime:
    """CPU seconds that each model's processes have used, added up over restarts.

    A process counts from its own start, even where it was running before it was first seen. What a
    process used between the last reading and its end is lost with it.

    Args:
        pids: The worker of each model that has one now.
        proc: The proc file system.
        own_pid: The process of the coordinator, accounted under the model ``""``.
        ticks_per_second: Unit of the times in ``/proc/PID/stat``; see proc(5).
    """

    def __init__(
        self,
        pids: Callable[[], Mapping[str, int]],
        proc: Path = PROC,
        own_pid: int | None = None,
        ticks_per_second: int | None = None,
    ) -> None:
        self._pids = pids
        self._proc = proc
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._ticks_per_second = ticks_per_second or os.sysconf("SC_CLK_TCK")
        self._processes: dict[str, _Process] = {}
        self._past_ticks: dict[str, int] = {}

    def read(self) -> dict[str, float]:
        """Seconds in user and kernel mode by model, never falling; unknown models are absent."""
        for model, pid in {COORDINATOR: self._own_pid, **self._pids()}.items():
            self._follow(model, pid)
        return {
            model: (self._past_ticks.get(model, 0) + process.ticks) / self._ticks_per_second
            for model, process in self._processes.items()
        }

    def _follow(self, model: str, pid: int) -> None:
        try:
            stat = (self._proc / str(pid) / "stat").read_text()
        except OSError:
            return
        # The name of the program, in parentheses, may itself hold spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        started, ticks = int(fields[_STARTED]), int(fields[_UTIME]) + int(fields[_STIME])
        last = self._processes.get(model)
        if last is None:
            self._processes[model] = _Process(pid, started, ticks)
        elif (last.pid, last.started) == (pid, started):
            last.ticks = max(last.ticks, ticks)
        else:
            self._past_ticks[model] = self._past_ticks.get(model, 0) + last.ticks
            self._processes[model] = _Process(pid, started, ticks)


class CpuTimeCounter:
    """Joules estimated from CPU time: the watts of a core, for as long as one was in use.

    It leaves out memory, and what the processor draws when nothing runs.

    Args:
        cpu_time: CPU time of the processes that serve.
        watts_per_core: Power of a core in use.
    """

    name = "cpu-time"
    kind: Hardware = "cpu"
    tier = EnergyTier.ESTIMATED

    def __init__(self, cpu_time: CpuTime, watts_per_core: float) -> None:
        self._cpu_time = cpu_time
        self._watts_per_core = watts_per_core

    def read(self) -> float | None:
        """Joules since the processes were started; None where no process can be read."""
        seconds = self._cpu_time.read()
        return sum(seconds.values()) * self._watts_per_core if seconds else None
