from __future__ import annotations

from pathlib import Path

import pytest

from quorate.metering.cpu_time import CpuTime
from quorate.metering.estimate import CpuTimeCounter, core_power
from quorate.request import EnergyTier
from support.proc_tree import ProcTree


def cpuinfo(folder: Path, name: str, cores: int = 4, threads_per_core: int = 1) -> str:
    tree = ProcTree(folder)
    tree.processor(name, cores, threads_per_core)
    return (tree.root / "cpuinfo").read_text()


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("AMD EPYC 7763 64-Core Processor", 280 / 64),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 120 / 14),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", 95 / 6),
        ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", 65 / 6),
        ("AMD Ryzen 9 5950X 16-Core Processor", 105 / 16),
        ("Intel(R) Xeon(R) Platinum 8480+", 350 / 56),
    ],
)
def test_a_known_processor_is_found_by_its_name(tmp_path: Path, name: str, watts: float) -> None:
    power = core_power(cpuinfo(tmp_path, name))
    assert power.watts == pytest.approx(watts)
    assert "cores" in power.reason


@pytest.mark.parametrize("name", ["AMD EPYC", "AMD EPYC 77631 64-Core Processor", "Neoverse-N1"])
def test_an_unknown_processor_counts_as_a_median_one_and_says_so(tmp_path: Path, name: str) -> None:
    power = core_power(cpuinfo(tmp_path, name))
    assert 4.0 < power.watts < 16.0
    assert name in power.reason
    assert "energy.tdp_watts" in power.reason


def test_a_processor_that_tells_its_family_alone_counts_as_one_of_it(tmp_path: Path) -> None:
    server = core_power(cpuinfo(tmp_path / "server", "AMD EPYC Processor")).watts
    desktop = core_power(cpuinfo(tmp_path / "desktop", "AMD Ryzen 7 9999X")).watts
    assert server == pytest.approx(200 / 32)
    assert desktop == pytest.approx((105 / 12 + 105 / 12) / 2)


def test_a_text_without_names_counts_as_a_median_processor() -> None:
    assert core_power("processor\t: 0\nBogoMIPS\t: 50.0\n").watts > 4.0


def test_configured_power_is_divided_among_physical_cores(tmp_path: Path) -> None:
    text = cpuinfo(tmp_path, "AMD EPYC 7763 64-Core Processor", cores=4, threads_per_core=2)
    assert core_power(text, tdp_watts=40.0).watts == pytest.approx(10.0)


def test_logical_cores_count_where_the_kernel_tells_no_others() -> None:
    text = "processor\t: 0\nBogoMIPS\t: 50.0\n\nprocessor\t: 1\nBogoMIPS\t: 50.0\n"
    assert core_power(text, tdp_watts=40.0).watts == pytest.approx(20.0)


def test_the_estimate_is_the_power_of_a_core_for_the_time_it_was_used() -> None:
    cpu_time = CpuTime(lambda: {"a": 20}, 7, {7: 1.0, 20: 2.0}.get)
    counter = CpuTimeCounter(cpu_time, watts_per_core=5.0)
    assert counter.tier is EnergyTier.ESTIMATED
    assert counter.read() == pytest.approx(15.0)


def test_the_estimate_is_absent_where_no_process_can_be_read() -> None:
    cpu_time = CpuTime(dict, 7, {}.get)
    assert CpuTimeCounter(cpu_time, watts_per_core=5.0).read() is None
