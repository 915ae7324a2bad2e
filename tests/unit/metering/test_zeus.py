from __future__ import annotations

from pathlib import Path

import pytest

from quorate.metering.zeus import find_zeus
from support.powercap_tree import PowercapTree
from support.simulated_zeus import (
    SimulatedGpus,
    SimulatedPackage,
    SimulatedSoc,
    SimulatedZeus,
    zeus_importer,
)


def test_a_gpu_is_read_where_zeus_trusts_its_counter() -> None:
    gpus = SimulatedGpus([1000, None])
    (gpu,) = find_zeus(zeus_importer(SimulatedZeus(gpus)), {}).counters
    assert (gpu.name, gpu.kind, gpu.read()) == ("gpu-0", "gpu", 0.0)
    gpus.millijoules[0] = 3500
    assert gpu.read() == pytest.approx(2.5)


def test_an_apple_chip_is_a_processor_and_a_gpu() -> None:
    parts: dict[str, int | None] = {
        "cpu_total_mj": 10, "dram_mj": 20, "ane_mj": None, "gpu_mj": 30, "gpu_sram_mj": 40
    }  # fmt: skip
    cpu, gpu = find_zeus(zeus_importer(SimulatedZeus(soc=SimulatedSoc(parts))), {}).counters
    assert (cpu.kind, cpu.read(), gpu.kind, gpu.read()) == ("cpu", 0.0, "gpu", 0.0)
    parts.update(cpu_total_mj=1010, dram_mj=520, gpu_mj=2030, gpu_sram_mj=140)
    assert cpu.read() == pytest.approx(1.5)
    assert gpu.read() == pytest.approx(2.1)


def test_processors_are_read_through_zeusd_and_only_through_it(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:1", "psys")
    package = SimulatedPackage(0, 100.0, 50.0)
    zeus = SimulatedZeus(cpus=[package, SimulatedPackage(1, 999.0, None)])
    assert find_zeus(zeus_importer(zeus), {}, tree.root).counters == ()
    assert "cpus" not in zeus.asked
    zeusd = {"ZEUSD_SOCK_PATH": "/run/zeusd.sock"}
    (counter,) = find_zeus(zeus_importer(zeus), zeusd, tree.root).counters
    assert (counter.name, counter.kind, counter.read()) == ("package-0", "cpu", 0.0)
    package.cpu_mj, package.dram_mj = 1100.0, 250.0
    assert counter.read() == pytest.approx(1.2)
