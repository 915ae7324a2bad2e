"""Opens the meter that a configuration asks for, with what this machine has."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from quorate.errors import SettingsError
from quorate.metering.counters import Found
from quorate.metering.cpu_time import CpuTime
from quorate.metering.estimate import PROC, find_estimate, processor_power
from quorate.metering.meter import Meter
from quorate.metering.nvml import find_nvml
from quorate.metering.rapl import POWERCAP, find_rapl
from quorate.metering.settings import EnergySettings
from quorate.metering.zeus import find_zeus
from quorate.request import EnergyTier
from quorate.request.work import WorkCosts


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as the meter sees it.

    Attributes:
        powercap: Tree of the processor's energy counters.
        proc: Tree that describes the processor.
        load: Imports an optional package by the name of its module.
        environment: Says whether there is a zeusd.
    """

    powercap: Path = POWERCAP
    proc: Path = PROC
    load: Callable[[str], Any] = import_module
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def open_meter(
    settings: EnergySettings,
    pids: Callable[[], Mapping[str, int]],
    costs: Callable[[], Mapping[str, WorkCosts]] = dict,
    gpu_models: Callable[[], Collection[str]] | None = None,
    host: Host | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Meter, tuple[str, ...]]:
    """Opens a meter, and says in lines for people what it rests on; see ``Meter``.

    ``pids`` tells the worker process of each model that has one now.

    Raises:
        SettingsError: The source that is asked for by name is not there.
    """
    if settings.source == "off":
        return Meter(), ("energy is not metered: energy.source is off",)
    host = host or Host()
    cpu_time = CpuTime(pids)
    search = _Search(settings, host, cpu_time)
    sources = search.best() if settings.source == "auto" else [search.named(settings.source)]
    counters = [counter for found in sources for counter in found.counters]
    notes = tuple(note for found in sources for note in _notes(found))
    measures = any(one.kind == "cpu" and one.tier is EnergyTier.MEASURED for one in counters)
    estimate = search.estimate().counters if measures else ()
    meter = Meter(
        counters,
        cpu_time.read,
        costs,
        gpu_models,
        settings.idle_watts,
        clock,
        estimate[0] if estimate else None,
        processor_power(settings.tdp_watts, host.proc) if estimate else None,
    )
    return meter, notes


@dataclass(frozen=True, slots=True)
class _Search:
    settings: EnergySettings
    host: Host
    cpu_time: CpuTime

    def named(self, source: str) -> Found:
        host = self.host
        finders: dict[str, Callable[[], Found]] = {
            "rapl": lambda: find_rapl(host.powercap),
            "nvml": lambda: find_nvml(host.load),
            "zeus": lambda: find_zeus(host.load, host.environment, host.powercap),
            "estimate": self.estimate,
        }
        found = finders[source]()
        if not found.counters:
            raise SettingsError(f"energy.source: {source}: {found.problem}")
        return found

    def best(self) -> list[Found]:
        """Counters for the processor and for GPUs, and the estimate where they leave it out."""
        rapl, nvml = find_rapl(self.host.powercap), find_nvml(self.host.load)
        sources = [rapl, nvml if nvml.counters or self._has_nvidia_driver() else Found()]
        if not (rapl.counters and nvml.counters):
            kinds = {counter.kind for found in sources for counter in found.counters}
            zeus = find_zeus(self.host.load, self.host.environment, self.host.powercap)
            more = tuple(counter for counter in zeus.counters if counter.kind not in kinds)
            sources.append(Found(more, zeus.source))
        if not any(counter.kind == "cpu" for found in sources for counter in found.counters):
            sources.append(self.estimate())
        return sources

    def _has_nvidia_driver(self) -> bool:
        return (self.host.proc / "driver" / "nvidia").exists()

    def estimate(self) -> Found:
        """The estimate by CPU time, where it can be made."""
        return find_estimate(self.cpu_time, self.settings.tdp_watts, self.host.proc)


def _notes(found: Found) -> list[str]:
    notes = []
    if found.counters:
        names = ", ".join(counter.name for counter in found.counters)
        notes.append(f"energy {found.counters[0].tier.value}: {names}, by {found.source}")
    if found.problem:
        notes.append(f"energy: {found.problem}")
    return notes
