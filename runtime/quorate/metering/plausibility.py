"""Whether what a counter says can be: by the CPU time that was used meanwhile, and by the machine.

Counters that are there and count nothing are common: virtual machines show registers that never
move, drivers count in another unit than they say, and rights are taken back. Taken at their word
they would make everything free.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTRADICTION = 30.0
"""A figure that is so many times too small or too large is no measurement. Estimates by CPU time
are off by a factor of five or so at worst: a core of a telephone, half a core of a server."""

TRIAL_CPU_SECONDS = 5.0
TRIAL_SECONDS = 5.0
"""How long a counter is watched before it is judged: some move once in a second or two."""

SILENT_CPU_SECONDS = 0.5
"""Work of requests after which a counter that has never moved is in doubt."""

GPU_STILL_SECONDS = 10.0
"""A GPU that works draws something; its counter moves ten times a second and more."""

MOST_GPU_WATTS = CONTRADICTION * 1000.0
"""More than any GPU draws, by far."""


@dataclass(frozen=True, slots=True)
class ProcessorPower:
    """What the processor can draw, by its data sheet.

    Attributes:
        watts_per_core: Of a core in use.
        cores: How many there are, logical ones included.
    """

    watts_per_core: float
    cores: int

    @property
    def most_watts(self) -> float:
        """More than all of it draws."""
        return CONTRADICTION * self.watts_per_core * max(1, self.cores)


class Trial:
    """Compares what counters of a processor rise by with the CPU time that is used meanwhile."""

    def __init__(self, power: ProcessorPower) -> None:
        self._power = power
        self._seconds = 0.0
        self._cpu_seconds = 0.0
        self._joules: dict[str, float] = {}

    def add(self, seconds: float, cpu_seconds: float, rises: dict[str, float]) -> tuple[str, ...]:
        """Takes in a window; judges once there is enough to judge by.

        Args:
            seconds: Length of the window.
            cpu_seconds: What all that serves has used in it.
            rises: What each counter rose by.

        Returns:
            Counters that cannot be right, all of them where together they say too little.
        """
        self._seconds += seconds
        self._cpu_seconds += cpu_seconds
        for name, joules in rises.items():
            self._joules[name] = self._joules.get(name, 0.0) + joules
        if self._seconds < TRIAL_SECONDS or self._cpu_seconds < TRIAL_CPU_SECONDS:
            return ()
        least = self._cpu_seconds * self._power.watts_per_core / CONTRADICTION
        told = {name: self._joules.get(name, 0.0) for name in rises}
        self._seconds, self._cpu_seconds, self._joules = 0.0, 0.0, {}
        if sum(told.values()) < least:
            return tuple(told)
        return tuple(name for name, joules in told.items() if joules <= 0)
