"""Counters that cannot be right: what is told instead, and how often."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.metering.counters import PowerCounter, RegisterCounter
from quorate.metering.meter import Meter
from quorate.metering.nvml import find_nvml
from quorate.metering.plausibility import CONTRADICTION, ProcessorPower, Trial
from quorate.request import Energy, EnergyTier
from quorate.request.work import Work
from support.metered_machine import estimate
from support.simulated_counters import SimulatedCounter, SimulatedNvml, only

WATTS = 10.0
POWER = ProcessorPower(WATTS, 4)


class Judged:
    """A machine whose counters are judged by its CPU time: one model, one core in use."""

    def __init__(self, *counters: SimulatedCounter) -> None:
        self.counters = counters
        self.estimate = estimate()
        self.now, self.used = 0.0, 0.0
        self.meter = Meter(
            counters,
            lambda: {"a": self.used},
            clock=lambda: self.now,
            estimate=self.estimate,
            power=POWER,
        )

    def answer(self, seconds: float, *joules: float | None) -> Energy:
        """A request that keeps one core busy for so long."""
        work: dict[str, Work] = {}
        job = self.meter.begin(lambda: work)
        self.work_for(seconds, *joules)
        work["a"] = Work(decode=1)
        return self.meter.finish(job)["a"]

    def work_for(self, seconds: float, *joules: float | None) -> None:
        self.now += seconds
        self.used += seconds
        self.estimate.spend(WATTS * seconds)
        for counter, spent in zip(self.counters, joules, strict=True):
            if spent is None or counter.joules is None:
                counter.joules = None
            else:
                counter.spend(spent)


def estimated(seconds: float) -> Energy:
    return Energy(pytest.approx(WATTS * seconds), EnergyTier.ESTIMATED)


def test_a_counter_that_never_moves_counts_nothing_as_measured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    machine = Judged(SimulatedCounter())
    for _ in range(5):
        assert machine.answer(2.0, 0.0) == estimated(2.0)
    assert machine.meter.totals().keys() == {"cpu-time"}
    assert [line for line in caplog.messages if "estimated by CPU time" in line] == caplog.messages
    assert len(caplog.messages) == 1
    assert "package-0 contradicts the CPU time" in caplog.messages[0]


def test_a_counter_in_another_unit_is_found_out_either_way() -> None:
    for scale in (1e-3, 1e3):
        machine = Judged(SimulatedCounter())
        for _ in range(8):
            machine.answer(2.0, 2.0 * WATTS * scale)
        assert machine.answer(2.0, 2.0 * WATTS * scale) == estimated(2.0)
        assert machine.meter.totals()["cpu-time"].tier is EnergyTier.ESTIMATED


@given(st.floats(0.2, 5.0))
def test_a_counter_that_is_off_by_less_is_believed(scale: float) -> None:
    machine = Judged(SimulatedCounter())
    for _ in range(10):
        told = machine.answer(2.0, 2.0 * WATTS * scale)
    assert told == Energy(pytest.approx(2.0 * WATTS * scale), EnergyTier.MEASURED)
    assert machine.meter.totals().keys() == {"package-0"}


def test_an_idle_machine_is_not_judged() -> None:
    machine = Judged(SimulatedCounter())
    for _ in range(100):
        machine.now += 10.0
        machine.meter.tick()
    assert machine.meter.totals().keys() == {"package-0"}


def test_memory_that_is_not_counted_is_left_out_and_the_rest_is_measured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    machine = Judged(SimulatedCounter(), SimulatedCounter("package-0-dram"))
    for _ in range(5):
        told = machine.answer(2.0, 25.0, 0.0)
    assert told == Energy(25.0, EnergyTier.MEASURED)
    assert machine.meter.totals().keys() == {"package-0"}
    assert caplog.messages == ["energy counter package-0-dram stands still: left out"]


def test_a_second_processor_that_is_not_counted_makes_all_an_estimate() -> None:
    machine = Judged(SimulatedCounter(), SimulatedCounter("package-1"))
    for _ in range(5):
        told = machine.answer(2.0, 25.0, 0.0)
    assert told == estimated(2.0)
    assert machine.meter.totals().keys() == {"cpu-time"}


def test_rights_that_are_taken_back_give_estimates_until_they_are_given_again() -> None:
    machine = Judged(SimulatedCounter())
    assert machine.answer(2.0, 30.0) == Energy(30.0, EnergyTier.MEASURED)
    assert machine.answer(2.0, None) == estimated(2.0)
    assert machine.answer(20.0, None) == estimated(20.0)
    machine.counters[0].joules = 100.0
    machine.meter.tick()
    assert machine.answer(2.0, 30.0) == Energy(30.0, EnergyTier.MEASURED)


def test_one_impossible_reading_charges_nobody() -> None:
    machine = Judged(SimulatedCounter())
    machine.answer(2.0, 30.0)
    assert machine.answer(2.0, 1e9) == Energy()
    assert machine.meter.totals()["package-0"].counter_joules == 30.0
    assert machine.answer(2.0, 30.0).tier is EnergyTier.MEASURED


@given(st.lists(st.tuples(st.floats(0.1, 50.0), st.floats(0, 1e6)), max_size=60))
def test_a_trial_finds_only_what_contradicts(windows) -> None:
    trial = Trial(POWER)
    used = told = 0.0
    for seconds, joules in windows:
        used, told = used + seconds, told + joules
        wrong = trial.add(seconds, seconds, {"package-0": joules})
        if wrong:
            assert told < used * WATTS / CONTRADICTION
        if used >= 5.0:
            used = told = 0.0


class Gpu:
    """A GPU that works for one request after another."""

    def __init__(self, power: bool) -> None:
        self.nvml = SimulatedNvml([0])
        self.now, self.milliwatts = 0.0, 100_000
        if power:
            self.nvml.nvmlDeviceGetPowerUsage = lambda handle: self.milliwatts  # type: ignore[attr-defined]
        [counter] = find_nvml(only(pynvml=self.nvml)).counters
        if counter.substitute is not None:
            counter.substitute._clock = lambda: self.now  # type: ignore[attr-defined]
        self.meter = Meter([counter], gpu_models=lambda: {"a"}, clock=lambda: self.now)

    def answer(self, seconds: float) -> Energy:
        work: dict[str, Work] = {}
        job = self.meter.begin(lambda: work)
        self.now += seconds
        work["a"] = Work(decode=1)
        return self.meter.finish(job)["a"]


def test_a_gpu_whose_counter_stands_still_is_estimated_by_its_power(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    gpu = Gpu(power=True)
    assert [gpu.answer(4.0) for _ in range(3)] == [Energy()] * 3
    assert gpu.answer(4.0) == Energy(pytest.approx(400.0), EnergyTier.ESTIMATED)
    assert gpu.meter.totals()["gpu-0"].tier is EnergyTier.ESTIMATED
    [line] = caplog.messages
    assert line.startswith("energy counter gpu-0 stood still for 12 s of work")


def test_a_gpu_that_tells_nothing_else_is_unavailable_and_never_free() -> None:
    gpu = Gpu(power=False)
    assert [gpu.answer(4.0) for _ in range(6)] == [Energy()] * 6
    assert gpu.meter.totals() == {}
    assert gpu.meter.notes == ("energy counter gpu-0 stood still for 12 s of work",)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf")])
def test_a_register_that_is_no_number_cannot_be_read(nonsense: float) -> None:
    counter = RegisterCounter("x", "cpu", lambda: nonsense, 1.0)
    assert counter.read() is None
    assert PowerCounter("x", "gpu", lambda: nonsense).read() is None
