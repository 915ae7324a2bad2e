"""Which clock measures what.

- *UTC* is for people and for what crosses machines. It jumps: it is years off on a board without a
  battery until it hears of the network, and is set back as well as forward.
- *Since boot* never jumps and goes on while the machine sleeps (``CLOCK_BOOTTIME``). It is for
  whatever the world outside goes on with meanwhile: windows of budgets, remotes that asked for
  patience, quarantines.
- *Monotonic* stands still while the machine sleeps. It is for what can only happen on a machine
  that is awake: steps of a model, turns in a queue, power by time. The timers of the event loop
  keep to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def since_boot() -> float:
    """Seconds since this machine was started, those it slept through included.

    Where the system has no such clock it is the monotonic one.
    """
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic()


@cache
def boot_id() -> str:
    """Names the time from one start of this machine to the next; "" where the system does not."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clocks of a machine say at one moment.

    Attributes:
        utc: Seconds since 1970, as the machine believes.
        boot: Which boot it is, or "" where that is not known.
        since_boot: Seconds since then; of no use without ``boot``.
    """

    utc: float
    boot: str = ""
    since_boot: float = 0.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a machine; tests inject their own.

    Attributes:
        boot: See ``Reading``.
    """

    utc: Callable[[], float] = time.time
    since_boot: Callable[[], float] = since_boot
    boot: Callable[[], str] = boot_id

    @classmethod
    def with_utc(cls, utc: Callable[[], float]) -> Clocks:
        """This machine's clocks, or where UTC is another, that one alone."""
        return cls() if utc is time.time else cls(utc, lambda: 0.0, lambda: "")

    def read(self) -> Reading:
        """All of them now."""
        return Reading(self.utc(), self.boot(), self.since_boot())
