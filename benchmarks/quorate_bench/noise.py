"""Whether the machine was busy with other things while it was measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_BUSY_SHARE = 0.05
_STOLEN_SHARE = 0.02
_SPREAD = 0.15
_IDLE, _WAITING, _STOLEN = 3, 4, 7
_COUNTED = 8


@dataclass(frozen=True, slots=True)
class Load:
    """What other programs took while something was measured, as shares of all cores.

    Attributes:
        others: CPU time of processes that had nothing to do with it.
        stolen: What the hypervisor gave to others.
    """

    others: float
    stolen: float


class LoadWatch:
    """Counts CPU time from its making on.

    Args:
        own_seconds: CPU time so far of all that is measured, this process included.
    """

    def __init__(self, own_seconds: Callable[[], float]) -> None:
        self._own_seconds = own_seconds
        self._before = _machine_ticks()
        self._own_before = own_seconds()

    def load(self) -> Load | None:
        """Since it was made; None where the kernel does not tell, or no time has passed."""
        after = _machine_ticks()
        if self._before is None or after is None:
            return None
        spent = [b - a for a, b in zip(self._before, after, strict=True)]
        whole = sum(spent)
        if whole <= 0:
            return None
        busy = whole - spent[_IDLE] - spent[_WAITING] - spent[_STOLEN]
        own = (self._own_seconds() - self._own_before) * os.sysconf("SC_CLK_TCK")
        return Load(max(0.0, busy - own) / whole, spent[_STOLEN] / whole)


def verdict(loads: Sequence[Load], repeated: Sequence[Sequence[float]]) -> str:
    """What speaks against a run, in one line; "" where nothing does.

    Args:
        loads: While each case was measured.
        repeated: Values of one quantity for each case, one for each repetition.
    """
    found = []
    if loads:
        others = float(np.median([load.others for load in loads]))
        stolen = float(np.median([load.stolen for load in loads]))
        if others > _BUSY_SHARE:
            found.append(f"other programs took {others:.0%} of the processor")
        if stolen > _STOLEN_SHARE:
            found.append(f"other machines on this host took {stolen:.0%} of it")
    spreads = [np.ptp(one) / np.median(one) for one in repeated if len(one) > 1]
    if spreads and (typical := float(np.median(spreads))) > _SPREAD:
        found.append(f"repetitions of a case differ by {typical:.0%}")
    return "this machine was busy: " + ", ".join(found) if found else ""


def _machine_ticks(stat: Path = Path("/proc/stat")) -> list[int] | None:
    """Ticks of all cores by kind, as proc(5) lists them, guests counted with their hosts."""
    try:
        first = stat.read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    return [int(word) for word in first[1 : 1 + _COUNTED]]
