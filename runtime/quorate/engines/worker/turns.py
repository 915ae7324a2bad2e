"""Turns on the processor cores: a decode call computes on cores that no other one computes on.

The workers of one server share a file without a name in which each core has a byte. Before a decode
call a worker locks the bytes of the cores it was given, and afterwards it unlocks them. Two models
that were given the same cores so take turns, two that were given different ones compute at the same
time, and neither need be told which of the two it is: a model that nobody asks anything holds none.

The locks are records (``fcntl(2)``): the kernel takes them back from a process that dies, however
it dies. They are no queue by themselves, and whoever has unlocked would often have locked again
before the next one is awake. Therefore one more byte, the *gate*, is locked by whoever is next,
until it has its cores: nobody comes past it. Where nobody else computes this costs four system
calls, where somebody does the next one computes some 40 microseconds after the last has ended.

Waiting is bounded. For a process that was stopped, that keeps its cores without computing, or that
computes for too long, nobody waits for a while: the others take turns on a second set of bytes
meanwhile. What a worker does with
these locks is no more trusted than what it says; the worst that it can do is to make the others
wait, for less and less, and then compute beside each other.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import time
from collections.abc import Callable, Iterable

from quorate.engines.worker.vital_signs import cpu_ticks, is_stopped

PATIENCE_SECONDS = 30.0
"""For how long a decode call of another model is waited for; then cores are shared with it."""

IDLE_SECONDS = 1.0
"""The same for one whose process takes no CPU time."""

TICK_SECONDS = 0.1
"""How often whoever waits looks whom it waits for."""

# For how long nobody waits again for a process that was stopped, and for one that does not end.
_STOPPED_SECONDS = 1.0
_PASSED_OVER_SECONDS = 5.0
_LEAST_PATIENCE_SECONDS = 0.05
_RECOVERY_SECONDS = 60.0
# One that happens not to be waited for once is not gone.
_FADING = 0.5

# Bytes of cores, and of places without one, are below; each set of bytes has a gate.
_GATE = 1 << 16
_SPARE_SET = 1 << 17
_PRESENCE = 1 << 18
_WITHOUT_A_CORE = 1 << 15
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
# struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("hhqqi4x")


class Turns:
    """The file that the workers of one server share; the coordinator only keeps it open.

    Nothing can be written to it, so that no worker can leave anything in it.

    Attributes:
        descriptor: What workers inherit.

    Raises:
        OSError: It cannot be made.
    """

    descriptor = -1

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("quorate-turns", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)

    def close(self) -> None:
        """Workers that run go on taking turns, and none can be started any more. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


class _Tick(Exception):
    """The timer has ended a wait."""


class TurnTaker:
    """A worker's side. To be used by the main thread alone, which owns ``SIGALRM``.

    Args:
        descriptor: See ``Turns``.
        cores: What it computes on, see ``take``; none where it never takes a turn, as a model does
            that GPUs compute.
        on_tick: Called again and again while it waits.
        patience_seconds: See ``PATIENCE_SECONDS``.

    Attributes:
        others_seconds: What others lately computed between two turns of this one, as far as it
            waited for them.
    """

    def __init__(
        self,
        descriptor: int,
        cores: Iterable[int],
        on_tick: Callable[[], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._descriptor = descriptor
        self._on_tick = on_tick
        self._most_patience = self._patience = patience_seconds
        self._gave_up_at = -_RECOVERY_SECONDS
        # Until when nobody waits for these processes.
        self._passed_over: dict[int, float] = {}
        self._runs = _runs(cores)
        self._takes_turns = bool(self._runs)
        self._held: list[tuple[int, int]] | None = None
        self._armed = False
        self._waited = 0.0
        self.others_seconds = 0.0
        if self._takes_turns:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _PRESENCE)

    @property
    def has_company(self) -> bool:
        """Whether another worker is there, which may want to compute."""
        return self._takes_turns and bool(self._holder(_PRESENCE, 1))

    @property
    def cores(self) -> int:
        """On how many cores its turns compute; 0 where it takes none."""
        return sum(count for _, count in self._runs)

    def move(self, cores: Iterable[int]) -> None:
        """Computes on other cores from its next turn on, and ends the one that it has."""
        self.end()
        if self._takes_turns:
            self._runs = _runs(cores)

    def take(self) -> float:
        """Takes its cores, unless it has them.

        Returns:
            For how many seconds it waited; 0.0 where nobody else was at it.
        """
        if self._held is not None or not self._takes_turns:
            return 0.0
        self._waited = 0.0
        self._held = self._taken(0) or self._taken(_SPARE_SET) or []
        self.others_seconds = max(self._waited, _FADING * self.others_seconds)
        return self._waited

    def end(self) -> None:
        """Lets others compute. Idempotent."""
        for start, count in self._held or ():
            self._unlock(start, count)
        self._held = None

    def _taken(self, first: int) -> list[tuple[int, int]] | None:
        """Locks the cores of one set of bytes; None where whoever has some is not waited for."""
        gate = first + _GATE
        if not self._lock(first, gate, 1):
            return None
        taken: list[tuple[int, int]] = []
        try:
            # Behind the gate nobody else takes any, so that no two can wait for each other.
            for start, count in self._runs:
                if not self._lock(first, first + start, count):
                    for run in taken:
                        self._unlock(*run)
                    return None
                taken.append((first + start, count))
        finally:
            self._unlock(gate, 1)
        return taken

    def _lock(self, first: int, start: int, count: int) -> bool:
        if self._locked_now(start, count):
            return True
        began = time.monotonic()
        try:
            return self._lock_in_time(first, start, count, began)
        finally:
            self._waited += time.monotonic() - began

    def _lock_in_time(self, first: int, start: int, count: int, began: float) -> bool:
        moved, moved_at, looked = (0, 0), began, False
        while not self._locked_now(start, count):
            now = time.monotonic()
            # Whoever is next waits for the same process, and is to be judged by it.
            holder = self._computing(first) or self._holder(start, count)
            if holder and now < self._passed_over.get(holder, 0.0):
                return False
            if looked and holder:
                if is_stopped(holder):
                    self._passed_over[holder] = now + _STOPPED_SECONDS
                    return False
                if moved != (moved := (holder, cpu_ticks(holder))):
                    moved_at = now
                patience = self._patience_now(now)
                if now - moved_at >= min(IDLE_SECONDS, patience) or now - began >= patience:
                    self._give_up(holder, now, now - began)
                    return False
            self._lock_before_tick(start, count)
            looked = True
            self._on_tick()
        return True

    def _computing(self, first: int) -> int:
        """A process that has some of the cores; 0 where none has."""
        return next(filter(None, (self._holder(first + at, n) for at, n in self._runs)), 0)

    def _patience_now(self, now: float) -> float:
        if now - self._gave_up_at > _RECOVERY_SECONDS:
            self._patience = self._most_patience
        return self._patience

    def _give_up(self, holder: int, now: float, waited: float) -> None:
        """Passes a process over for a while, and whoever keeps cores next a little sooner."""
        self._passed_over = {pid: until for pid, until in self._passed_over.items() if until > now}
        self._passed_over[holder] = now + _PASSED_OVER_SECONDS
        self._patience = max(_LEAST_PATIENCE_SECONDS, waited / 2)
        self._gave_up_at = now

    def _lock_before_tick(self, start: int, count: int) -> None:
        """Waits for a lock until the timer rings, and again should it ring too early to be heard.

        Whether it got the lock is to be seen by locking again, which costs an owner nothing.
        """
        signal.signal(signal.SIGALRM, self._ring)
        try:
            try:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX, count, start)
            finally:
                self._armed = False
        except (_Tick, OSError):
            self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _ring(self, *_: object) -> None:
        if self._armed:
            raise _Tick

    def _locked_now(self, start: int, count: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, start)
        except OSError:
            # Another one has it, or the kernel has no more of them; either ends some time.
            return False
        return True

    def _unlock(self, start: int, count: int) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, count, start)

    def _holder(self, start: int, count: int) -> int:
        """A process that keeps one of these bytes from this one; 0 where there is none."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, count, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else int(pid)


def _runs(cores: Iterable[int]) -> list[tuple[int, int]]:
    """Bytes of these cores, as first ones and counts, ascending."""
    places = sorted({core if core >= 0 else _WITHOUT_A_CORE + ~core for core in cores})
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and sum(runs[-1]) == place:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((place, 1))
    return runs
