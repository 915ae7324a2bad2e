"""How energy is metered."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.options import option

SOURCES = ("auto", "rapl", "nvml", "zeus", "estimate", "off")
_MAX_WATTS = 1_000_000.0


@dataclass(frozen=True, slots=True)
class EnergySettings:
    """Where joules come from.

    Attributes:
        source: ``auto`` takes the best there is for processor and GPUs; a source by name takes that
            one alone and fails where it is missing; ``off`` meters nothing.
        tdp_watts: Thermal design power of all processor cores that this machine has, for the
            estimate; 0 looks the processor up.
        idle_watts: What the measured parts of the machine draw together when nothing runs; 0 learns
            it while there are no requests.
        window_seconds: How often the counters are read while nothing else closes a window. Slow
            counters need a second; those of some processors wrap after a few minutes.
    """

    source: str = option("auto", choices=SOURCES)
    tdp_watts: float = option(0.0, lowest=0, highest=_MAX_WATTS)
    idle_watts: float = option(0.0, lowest=0, highest=_MAX_WATTS)
    window_seconds: float = option(1.0, lowest=0.1, highest=30.0)
