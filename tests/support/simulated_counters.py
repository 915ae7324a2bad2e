"""Simulated energy counters and a simulated NVML, moved by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quorate.metering.counters import Hardware
from quorate.request import EnergyTier


@dataclass
class SimulatedCounter:
    """A counter that shows what the test sets; None cannot be read."""

    name: str = "package-0"
    kind: Hardware = "cpu"
    tier: EnergyTier = EnergyTier.MEASURED
    joules: float | None = 0.0

    def read(self) -> float | None:
        return self.joules

    def spend(self, joules: float) -> None:
        assert self.joules is not None
        self.joules += joules


class SimulatedNvmlError(Exception):
    """Stands for ``pynvml.NVMLError``."""


@dataclass
class SimulatedNvml:
    """The part of ``pynvml`` that is used, over GPUs that the test moves.

    Attributes:
        millijoules: Counter of each GPU, or the error that asking for it raises.
        broken: Error that the driver answers everything with, or "".
    """

    millijoules: list[int | str] = field(default_factory=list)
    broken: str = ""
    NVMLError: type[Exception] = SimulatedNvmlError

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken:
            raise self.NVMLError(self.broken)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        value = self.millijoules[handle]
        if isinstance(value, str):
            raise self.NVMLError(value)
        return value


def only(**modules: Any) -> Callable[[str], Any]:
    """An importer that knows these modules and no others; ``zeus_device`` is ``zeus.device``."""

    def load(name: str) -> Any:
        try:
            return modules[name.replace(".", "_")]
        except KeyError:
            raise ImportError(name) from None

    return load
