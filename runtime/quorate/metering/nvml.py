"""Energy counters of NVIDIA GPUs, from the driver's management library (NVML).

``nvmlDeviceGetTotalEnergyConsumption`` counts millijoules since the driver was loaded, on Volta and
newer. It moves every 20 to 100 ms, so shorter windows may see it stand still.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from quorate.metering.counters import Found, PowerCounter, RegisterCounter

_MILLIJOULES = 1e-3
_MILLIWATTS = 1e-3


def find_nvml(load: Callable[[str], Any] = import_module) -> Found:
    """The GPUs of this machine that count their energy; ``load`` imports ``pynvml``."""
    try:
        nvml = load("pynvml")
    except ImportError:
        return Found(problem="the package nvidia-ml-py is not installed; install quorate[nvml]")
    try:
        nvml.nvmlInit()
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        return Found(problem=f"no NVIDIA driver answers ({error}); install it, or load its module")
    counters, silent = [], []
    for index in range(count):
        name = f"gpu-{index}"
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except nvml.NVMLError as error:
            silent.append(f"{name} ({error})")
        else:
            # A GPU may be lost or refuse later.
            read = partial(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
            counter = RegisterCounter(
                name,
                "gpu",
                read,
                _MILLIJOULES,
                unreadable=nvml.NVMLError,
                substitute=_power(nvml, name, handle),
            )
            counters.append(counter)
    problem = f"no energy counter on {', '.join(silent)}; Volta and newer have one"
    if not count:
        problem = "the NVIDIA driver sees no GPU"
    return Found(tuple(counters), "NVML", "" if count and not silent else problem)


def _power(nvml: Any, name: str, handle: Any) -> PowerCounter | None:
    """The power that the GPU tells, for one whose counter turns out to stand still."""
    try:
        nvml.nvmlDeviceGetPowerUsage(handle)
    except (AttributeError, nvml.NVMLError):
        return None
    return PowerCounter(
        name,
        "gpu",
        lambda: nvml.nvmlDeviceGetPowerUsage(handle) * _MILLIWATTS,
        unreadable=nvml.NVMLError,
    )
