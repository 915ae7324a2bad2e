"""Energy of a processor that does not count it, estimated from the CPU time of the processes.

The power of a core in use is the thermal design power divided by the number of cores, the usual
estimate of tools without a counter (CodeCarbon, Green Algorithms). On virtual machines a "core" is
often half of one, and the estimate then too high.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from quorate.metering.counters import Found, Hardware
from quorate.metering.cpu_time import CpuTime
from quorate.metering.plausibility import ProcessorPower
from quorate.request import EnergyTier

PROC = Path("/proc")
_PROCESSORS: dict[str, tuple[int, int]] = {
    "EPYC 7302": (155, 16),
    "EPYC 7313": (155, 16),
    "EPYC 7402": (180, 24),
    "EPYC 7443": (200, 24),
    "EPYC 74F3": (240, 24),
    "EPYC 7502": (180, 32),
    "EPYC 7513": (200, 32),
    "EPYC 7543": (225, 32),
    "EPYC 75F3": (280, 32),
    "EPYC 7642": (225, 48),
    "EPYC 7702": (200, 64),
    "EPYC 7713": (225, 64),
    "EPYC 7742": (225, 64),
    "EPYC 7763": (280, 64),
    "EPYC 7H12": (280, 64),
    "Threadripper 3970X": (280, 32),
    "Threadripper 3990X": (280, 64),
    "Ryzen 5 3600": (65, 6),
    "Ryzen 5 5600X": (65, 6),
    "Ryzen 7 3700X": (65, 8),
    "Ryzen 7 5800X": (105, 8),
    "Ryzen 9 3900X": (105, 12),
    "Ryzen 9 3950X": (105, 16),
    "Ryzen 9 5900X": (105, 12),
    "Ryzen 9 5950X": (105, 16),
    "Core i5-8400": (65, 6),
    "Core i5-10400": (65, 6),
    "Core i7-1165G7": (28, 4),
    "Core i7-8550U": (15, 4),
    "Core i7-8700": (65, 6),
    "Core i7-8700K": (95, 6),
    "Core i7-9700K": (95, 8),
    "Core i7-10700K": (125, 8),
    "Core i7-11700K": (125, 8),
    "Core i9-9900K": (95, 8),
    "Core i9-10900K": (125, 10),
    "Core i9-11900K": (125, 8),
    "Xeon E5-2660 v4": (105, 14),
    "Xeon E5-2680 v4": (120, 14),
    "Xeon E5-2690 v2": (130, 10),
    "Xeon Gold 5320": (185, 26),
    "Xeon Gold 6154": (200, 18),
    "Xeon Gold 6230N": (125, 20),
    "Xeon Platinum 8480+": (350, 56),
    "Xeon Platinum 8490H": (350, 60),
}
"""Thermal design power in watts, and cores, of one processor by words of its name.

Watts as in CodeCarbon's ``data/hardware/cpu_power.csv`` (those of the last two as published at
their launch), cores as published by AMD and Intel.
"""


class CpuTimeCounter:
    """Joules estimated from CPU time: the watts of a core, for as long as one was in use.

    It leaves out memory, and what the processor draws when nothing runs.

    Args:
        watts_per_core: Power of a core in use.
    """

    name = "cpu-time"
    kind: Hardware = "cpu"
    tier = EnergyTier.ESTIMATED

    def __init__(self, cpu_time: CpuTime, watts_per_core: float) -> None:
        self._cpu_time = cpu_time
        self._watts_per_core = watts_per_core

    def read(self) -> float | None:
        """Joules since the processes were started; None where no process can be read.

        The CPU time is that of the last reading, which the meter takes at the end of each window.
        """
        seconds = self._cpu_time.last
        return sum(seconds.values()) * self._watts_per_core if seconds else None


def processor_power(tdp_watts: float = 0.0, proc: Path = PROC) -> ProcessorPower | None:
    """What the processor of this machine can draw; None where it is not described."""
    try:
        text = (proc / "cpuinfo").read_text()
    except OSError:
        return None
    logical = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return ProcessorPower(core_power(text, tdp_watts).watts, max(1, logical))


def find_estimate(cpu_time: CpuTime, tdp_watts: float = 0.0, proc: Path = PROC) -> Found:
    """The estimate for this machine, where it tells the CPU time of processes.

    ``tdp_watts`` is as ``core_power`` takes it; ``proc`` is the tree that describes the processor.
    """
    try:
        power = core_power((proc / "cpuinfo").read_text(), tdp_watts)
    except OSError:
        return Found(problem=f"{proc} does not tell the CPU time of processes here")
    source = f"CPU time at {power.watts:.1f} W per core in use ({power.reason})"
    return Found((CpuTimeCounter(cpu_time, power.watts),), source)


@dataclass(frozen=True, slots=True)
class CorePower:
    """Power of one core in use.

    Attributes:
        reason: Where that comes from, in words for people.
    """

    watts: float
    reason: str


def core_power(cpuinfo: str, tdp_watts: float = 0.0) -> CorePower:
    """The power of one core of this machine in use.

    Args:
        cpuinfo: The text of ``/proc/cpuinfo``.
        tdp_watts: Thermal design power of all cores that the machine has; 0 looks it up. A
            processor that is not in the table counts as the median of its family there, or of all;
            virtual machines often tell the family alone.
    """
    if tdp_watts > 0:
        cores = _count_cores(cpuinfo)
        return CorePower(tdp_watts / cores, f"{tdp_watts:g} W configured for {cores} cores")
    name = _model_name(cpuinfo)
    words = set(re.sub(r"\((R|TM)\)", "", name).split())
    for entry, (watts, cores) in _PROCESSORS.items():
        if words.issuperset(entry.split()):
            return CorePower(watts / cores, f"{entry}: {watts} W for {cores} cores")
    family = [power for entry, power in _PROCESSORS.items() if entry.split()[0] in words]
    median = statistics.median(watts / cores for watts, cores in family or _PROCESSORS.values())
    unknown = f"{name or 'this processor'} is not in the table, so it counts as a median one"
    return CorePower(median, f"{unknown}; set energy.tdp_watts")


def _model_name(cpuinfo: str) -> str:
    names = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return names.group(1).strip() if names else ""


def _count_cores(cpuinfo: str) -> int:
    """Physical cores of all sockets; logical ones where the kernel does not tell them apart."""
    blocks = [
        dict(re.findall(r"^(.+?)\s*:\s*(.*)$", block, re.MULTILINE))
        for block in cpuinfo.strip().split("\n\n")
    ]
    logical = [block for block in blocks if "processor" in block]
    physical = {(b["physical id"], b["core id"]) for b in logical if "core id" in b}
    return max(1, len(physical) or len(logical))
