from __future__ import annotations

import pytest

from quorate.metering.nvml import find_nvml
from quorate.request import EnergyTier
from support.simulated_counters import SimulatedNvml, only


def test_every_gpu_is_a_domain_that_counts_from_its_first_reading() -> None:
    nvml = SimulatedNvml([500_000, 900_000])
    first, second = find_nvml(only(pynvml=nvml)).counters
    assert (first.name, first.kind, first.tier) == ("gpu-0", "gpu", EnergyTier.MEASURED)
    assert (first.read(), second.read()) == (0.0, 0.0)
    nvml.millijoules = [500_250, 901_000]
    assert (first.read(), second.read()) == (pytest.approx(0.25), pytest.approx(1.0))


def test_a_gpu_that_is_lost_is_unreadable_and_the_other_goes_on() -> None:
    nvml = SimulatedNvml([0, 0])
    first, second = find_nvml(only(pynvml=nvml)).counters
    second.read()
    nvml.millijoules = ["GPU is lost", 2000]
    assert (first.read(), second.read()) == (None, pytest.approx(2.0))


def test_an_old_gpu_is_left_out_and_named() -> None:
    found = find_nvml(only(pynvml=SimulatedNvml([100, "Not Supported"])))
    assert [counter.name for counter in found.counters] == ["gpu-0"]
    assert "gpu-1 (Not Supported)" in found.problem


def test_a_driver_without_a_gpu_says_so() -> None:
    assert find_nvml(only(pynvml=SimulatedNvml())).problem == "the NVIDIA driver sees no GPU"


def test_the_real_library_gives_counters_that_can_be_read_or_says_what_is_missing() -> None:
    pytest.importorskip("pynvml")
    found = find_nvml()
    assert found.counters or found.problem
    assert all(counter.read() == 0.0 for counter in found.counters)
