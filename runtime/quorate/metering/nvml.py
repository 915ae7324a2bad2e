"""Energy counters of NVIDIA GPUs, from the driver's management library (NVML).

``nvmlDeviceGetTotalEnergyConsumption`` counts millijoules since the driver was loaded, on Volta and
newer. It moves every 20 to 100 ms, so shorter windows may see it stand still.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from quorate.metering.counters import Found, Hardware, RisingTotal
from quorate.request import EnergyTier

_MILLIJOULES = 1e-3


class NvmlCounter:
    """The counter of one GPU.

    Args:
        name: Name of the domain.
        nvml: The module ``pynvml``, initialised.
        handle: NVML's handle of the GPU.
    """

    kind: Hardware = "gpu"
    tier = EnergyTier.MEASURED

    def __init__(self, name: str, nvml: Any, handle: Any) -> None:
        self.name = name
        self._nvml = nvml
        self._handle = handle
        self._millijoules = RisingTotal()

    def read(self) -> float | None:
        """Joules since the first reading; None while the GPU is lost or refuses."""
        try:
            register = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return None
        return self._millijoules.follow(register) * _MILLIJOULES


def find_nvml(load: Callable[[str], Any] = import_module) -> Found:
    """The GPUs of this machine that count their energy.

    Args:
        load: Imports a module by name; ``pynvml`` is asked for.
    """
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
            counters.append(NvmlCounter(name, nvml, handle))
    problem = f"no energy counter on {', '.join(silent)}; Volta and newer have one"
    if not count:
        problem = "the NVIDIA driver sees no GPU"
    return Found(tuple(counters), "NVML", "" if count and not silent else problem)
