"""Energy counters through Zeus: AMD GPUs, Apple silicon, and processors that zeusd reads for us.

Zeus (https://ml.energy/zeus, 0.16) gives cumulative millijoules per device. Its own RAPL reader is
used only with zeusd, whose point is that the server needs no rights; without it Zeus would start a
process per counter for what ``rapl`` does in place. An AMD GPU is listed only if Zeus found its
counter to agree with its power, which takes half a second when the counters are looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from quorate.metering.counters import EnergyCounter, Found, Hardware, RegisterCounter
from quorate.metering.rapl import POWERCAP

_MILLIJOULES = 1e-3
_ZEUSD = ("ZEUSD_SOCK_PATH", "ZEUSD_HOST_PORT")


def find_zeus(
    load: Callable[[str], Any] = import_module,
    environment: Mapping[str, str] = os.environ,
    powercap: Path = POWERCAP,
) -> Found:
    """The devices that Zeus can read on this machine.

    Args:
        load: Imports a module by name; ``zeus.device`` and ``zeus.exception`` are asked for.
        environment: Says whether there is a zeusd.
        powercap: The powercap tree, whose names tell packages from what covers them.
    """
    try:
        device, error = load("zeus.device"), load("zeus.exception").ZeusBaseError
    except ImportError:
        return Found(problem="the package zeus is not installed; install quorate[zeus]")
    counters: list[EnergyCounter] = []
    problems: list[str] = []
    finders = [_gpus, _apple]
    if any(name in environment for name in _ZEUSD):
        finders.append(lambda device, error: _packages(device, error, powercap))
    for find in finders:
        try:
            counters.extend(find(device, error))
        except error as refusal:
            problems.append(str(refusal))
    problem = f"Zeus finds no counter ({'; '.join(problems) or 'no device has one'})"
    return Found(tuple(counters), "Zeus", "" if counters else problem)


def _gpus(device: Any, error: type[Exception]) -> Iterator[EnergyCounter]:
    gpus = device.get_gpus()
    for index in range(len(gpus)):
        if gpus.supports_get_total_energy_consumption(index):
            yield _counter(f"gpu-{index}", "gpu", _read(gpus, index), error)


def _packages(device: Any, error: type[Exception], powercap: Path) -> Iterator[EnergyCounter]:
    """One counter for each package and its memory; Zeus lists ``psys`` among them, we do not."""
    for index, cpu in enumerate(device.get_cpus().cpus):
        name = powercap / f"intel-rapl:{cpu.cpu_index}" / "name"
        if not (name.exists() and name.read_text().startswith("psys")):
            yield _counter(f"package-{index}", "cpu", _read_package(cpu), error)


def _apple(device: Any, error: type[Exception]) -> Iterator[EnergyCounter]:
    soc = device.get_soc()
    if {"cpu_total_mj", "gpu_mj"} <= set(soc.get_available_metrics()):
        cpu = _read_parts(soc, "cpu_total_mj", "dram_mj", "ane_mj")
        yield _counter("soc-cpu", "cpu", cpu, error)
        yield _counter("soc-gpu", "gpu", _read_parts(soc, "gpu_mj", "gpu_sram_mj"), error)


def _counter(
    name: str, kind: Hardware, read: Callable[[], float | None], error: type[Exception]
) -> RegisterCounter:
    return RegisterCounter(name, kind, read, _MILLIJOULES, unreadable=error)


def _read(devices: Any, index: int) -> Callable[[], float]:
    return lambda: float(devices.get_total_energy_consumption(index))


def _read_package(cpu: Any) -> Callable[[], float]:
    def read() -> float:
        energy = cpu.get_total_energy_consumption()
        return float(energy.cpu_mj) + float(energy.dram_mj or 0.0)

    return read


def _read_parts(soc: Any, *names: str) -> Callable[[], float | None]:
    """Reads a device; one of which a part is not counted cannot be read."""

    def read() -> float | None:
        energy = soc.get_total_energy_consumption()
        parts = [getattr(energy, name) for name in names]
        return None if parts[0] is None else float(sum(part or 0 for part in parts))

    return read
