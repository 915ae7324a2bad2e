"""What an energy counter is, and how a counter that wraps or starts anew is followed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from quorate.request import EnergyTier

Hardware: TypeAlias = Literal["cpu", "gpu"]


class EnergyCounter(Protocol):
    """The energy counter of one domain, such as a processor package or a GPU.

    Attributes:
        name: Name of the domain, unique on this machine.
        kind: What the domain is part of; memory of the processor counts as ``cpu``.
        tier: How its joules are come by.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def kind(self) -> Hardware: ...  # noqa: D102

    @property
    def tier(self) -> EnergyTier: ...  # noqa: D102

    def read(self) -> float | None:
        """Joules since an origin of the counter's own, never falling; None if unreadable now."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The counters that one source offers on this machine.

    Attributes:
        counters: Those that can be read.
        source: What they are, in words for people.
        problem: One line on what is missing and what to do about it, or "".
    """

    counters: tuple[EnergyCounter, ...] = ()
    source: str = ""
    problem: str = ""


class RisingTotal:
    """A total that goes on rising while the register behind it wraps or starts anew.

    A fall counts as a wrap only where the energy it would mean is below half of the register's
    range: with a reading every few seconds no machine spends more, so a larger fall means that the
    register was set back (suspended, driver loaded again), and what was spent then is not known.

    Args:
        wraps_at: Range of the register, in its own unit; None for one that never wraps.
    """

    def __init__(self, wraps_at: int | None = None) -> None:
        self._wraps_at = wraps_at
        self._last: int | None = None
        self._total = 0

    def follow(self, register: int) -> int:
        """The total after the register was seen to hold this value; in the register's unit."""
        if self._last is not None:
            self._total += self._step(register - self._last)
        self._last = register
        return self._total

    def _step(self, change: int) -> int:
        if change >= 0:
            return change
        if self._wraps_at is None or change + self._wraps_at > self._wraps_at // 2:
            return 0
        return max(0, change + self._wraps_at)


class RegisterCounter:
    """A measured counter over a register that wraps or starts anew.

    Args:
        name: Name of the domain.
        kind: What the domain is part of.
        read_register: The register now, in its own unit; None while a part of it is not counted.
        unit_joules: Joules of one unit.
        wraps_at: As in ``RisingTotal``.
        unreadable: What ``read_register`` raises while it cannot be read.
        substitute: What takes its place where it is found out to say nothing; None where nothing
            does.
    """

    tier = EnergyTier.MEASURED

    def __init__(
        self,
        name: str,
        kind: Hardware,
        read_register: Callable[[], float | None],
        unit_joules: float,
        wraps_at: int | None = None,
        unreadable: type[Exception] | tuple[type[Exception], ...] = (),
        substitute: EnergyCounter | None = None,
    ) -> None:
        self.name = name
        self.substitute = substitute
        self.kind: Hardware = kind
        self._read_register = read_register
        self._unit_joules = unit_joules
        self._unreadable = unreadable
        self._total = RisingTotal(wraps_at)

    def read(self) -> float | None:
        """Joules since the first reading; None while the register cannot be read."""
        try:
            register = self._read_register()
        except self._unreadable:
            return None
        if register is None or not math.isfinite(register):
            return None
        return self._total.follow(round(register)) * self._unit_joules


class PowerCounter:
    """An estimate of joules: the power of a domain, summed up over the times it was asked for.

    Args:
        name: Name of the domain.
        kind: What the domain is part of.
        read_watts: The power now.
        clock: Seconds that stand still while the machine sleeps.
        unreadable: What ``read_watts`` raises while it cannot be read.
    """

    tier = EnergyTier.ESTIMATED

    def __init__(
        self,
        name: str,
        kind: Hardware,
        read_watts: Callable[[], float],
        unreadable: type[Exception] | tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.kind: Hardware = kind
        self._read_watts = read_watts
        self._unreadable = unreadable
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._joules = 0.0

    def read(self) -> float | None:
        """Joules since the first reading; None while the power cannot be read."""
        try:
            watts = self._read_watts()
        except self._unreadable:
            return None
        if not (math.isfinite(watts) and watts >= 0):
            return None
        now = self._clock()
        if self._last is not None:
            before, watts_before = self._last
            self._joules += (now - before) * (watts + watts_before) / 2
        self._last = now, watts
        return self._joules
