"""A simulated Zeus: what is used of ``zeus.device``, over devices that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from support.simulated_counters import only


class SimulatedZeusError(Exception):
    """Stands for ``zeus.exception.ZeusBaseError``."""


@dataclass
class SimulatedGpus:
    """Millijoules of each GPU, or None where Zeus does not trust its counter."""

    millijoules: list[int | None]

    def __len__(self) -> int:
        return len(self.millijoules)

    def supports_get_total_energy_consumption(self, index: int) -> bool:
        return self.millijoules[index] is not None

    def get_total_energy_consumption(self, index: int) -> int:
        value = self.millijoules[index]
        if value is None:
            raise SimulatedZeusError("GPU is lost")
        return value


@dataclass
class SimulatedZeus:
    """The module ``zeus.device``; what is missing is refused as Zeus does."""

    gpus: SimulatedGpus | None = None
    cpus: list[Any] | None = None
    soc: Any = None
    asked: list[str] = field(default_factory=list)

    def get_gpus(self) -> Any:
        return self._given("gpus", self.gpus)

    def get_cpus(self) -> Any:
        return self._given("cpus", self.cpus and SimpleNamespace(cpus=self.cpus))

    def get_soc(self) -> Any:
        return self._given("soc", self.soc)

    def _given(self, name: str, device: Any) -> Any:
        self.asked.append(name)
        if device is None:
            raise SimulatedZeusError(f"no {name}")
        return device


@dataclass
class SimulatedPackage:
    """A processor as zeusd reads it."""

    cpu_index: int
    cpu_mj: float
    dram_mj: float | None

    def get_total_energy_consumption(self) -> Any:
        return SimpleNamespace(cpu_mj=self.cpu_mj, dram_mj=self.dram_mj)


@dataclass
class SimulatedSoc:
    """An Apple chip."""

    parts: dict[str, int | None]

    def get_available_metrics(self) -> set[str]:
        return {name for name, value in self.parts.items() if value is not None}

    def get_total_energy_consumption(self) -> Any:
        return SimpleNamespace(**self.parts)


def zeus_importer(zeus: SimulatedZeus) -> Any:
    errors = SimpleNamespace(ZeusBaseError=SimulatedZeusError)
    return only(zeus_device=zeus, zeus_exception=errors)
