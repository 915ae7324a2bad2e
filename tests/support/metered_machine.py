"""A simulated machine under a meter: its clock, counters and CPU time are the test's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from quorate.metering.meter import Job, Meter
from quorate.request import Energy, EnergyTier
from quorate.request.work import Work
from support.simulated_counters import SimulatedCounter


@dataclass
class Machine:
    """A clock, counters, the CPU time of workers, and the meter over them."""

    counters: list[SimulatedCounter]
    idle_watts: float = 0.0
    gpu_models: set[str] | None = None
    now: float = 100.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        models = self.gpu_models
        self.meter = Meter(
            self.counters,
            lambda: dict(self.cpu_seconds),
            gpu_models=None if models is None else lambda: models,
            idle_watts=self.idle_watts,
            clock=lambda: self.now,
        )

    def begin(self) -> tuple[Job, dict[str, Work]]:
        work: dict[str, Work] = {}
        return self.meter.begin(lambda: work), work

    def answer(
        self, seconds: float, *joules: float, **work: Work
    ) -> tuple[Job, Mapping[str, Energy]]:
        """A request that runs for so long and works for these models, and its energy."""
        job, worked = self.begin()
        self.pass_time(seconds, *joules)
        worked.update(work)
        return job, self.meter.finish(job)

    def pass_time(self, seconds: float, *joules: float) -> None:
        self.now += seconds
        for counter, spent in zip(self.counters, joules, strict=True):
            counter.spend(spent)

    def balance(self) -> None:
        """Every domain's joules went somewhere, once."""
        for totals in self.meter.totals().values():
            assert totals.counter_joules == pytest.approx(
                totals.request_joules + totals.idle_joules + totals.unattributed_joules
            )


def estimate() -> SimulatedCounter:
    return SimulatedCounter("cpu-time", "cpu", EnergyTier.ESTIMATED)


def gpu() -> SimulatedCounter:
    return SimulatedCounter("gpu-0", "gpu")
