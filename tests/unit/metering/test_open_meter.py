from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import SettingsError
from quorate.metering.meter import AbsentMeter, CounterMeter, Meter
from quorate.metering.open_meter import Host, open_meter
from quorate.metering.settings import EnergySettings
from quorate.options import read_options
from support.powercap_tree import PowercapTree
from support.proc_tree import ProcTree
from support.simulated_counters import SimulatedNvml, only
from support.simulated_zeus import SimulatedGpus, SimulatedPackage, SimulatedZeus, zeus_importer


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    proc = ProcTree(tmp_path / "proc")
    proc.processor("AMD EPYC 7763 64-Core Processor", cores=2)
    return proc


@pytest.fixture
def powercap(tmp_path: Path) -> PowercapTree:
    return PowercapTree(tmp_path / "powercap")


def opened(
    source: str,
    proc: ProcTree,
    powercap: PowercapTree,
    load: Callable[[str], Any] | None = None,
    **settings: Any,
) -> tuple[Meter, tuple[str, ...]]:
    host = Host(powercap.root, proc.root, load or only(), {})
    return open_meter(EnergySettings(source=source, **settings), dict, host=host)


def test_a_processor_and_gpus_that_count_are_measured(
    proc: ProcTree, powercap: PowercapTree
) -> None:
    powercap.add("intel-rapl:0", "package-0")
    meter, notes = opened("auto", proc, powercap, only(pynvml=SimulatedNvml([0])))
    assert meter.totals().keys() == {"package-0", "gpu-0"}
    assert notes == ("energy measured: package-0, by RAPL", "energy measured: gpu-0, by NVML")


def test_a_processor_that_does_not_count_is_estimated_and_the_note_says_how_to_do_better(
    proc: ProcTree, powercap: PowercapTree
) -> None:
    meter, notes = opened("auto", proc, powercap)
    assert meter.totals().keys() == {"cpu-time"}
    assert "virtual machines have none" in notes[0]
    assert notes[1] == (
        "energy estimated: cpu-time, by CPU time at 4.4 W per core in use "
        "(EPYC 7763: 280 W for 64 cores)"
    )


def test_a_gpu_beside_an_estimated_processor_is_measured(
    proc: ProcTree, powercap: PowercapTree
) -> None:
    meter, _ = opened("auto", proc, powercap, only(pynvml=SimulatedNvml([0])))
    assert meter.totals().keys() == {"cpu-time", "gpu-0"}


def test_zeus_adds_what_nothing_else_counts_and_nothing_twice(
    proc: ProcTree, powercap: PowercapTree
) -> None:
    powercap.add("intel-rapl:0", "package-0")
    zeus = zeus_importer(SimulatedZeus(SimulatedGpus([0]), [SimulatedPackage(0, 0.0, None)]))
    host = Host(powercap.root, proc.root, zeus, {"ZEUSD_HOST_PORT": "localhost:4938"})
    _, notes = open_meter(EnergySettings(), dict, host=host)
    assert notes == ("energy measured: package-0, by RAPL", "energy measured: gpu-0, by Zeus")


def test_a_gpu_that_could_be_measured_is_mentioned_only_where_there_is_one(
    proc: ProcTree, powercap: PowercapTree
) -> None:
    powercap.add("intel-rapl:0", "package-0")
    assert opened("auto", proc, powercap)[1] == ("energy measured: package-0, by RAPL",)
    (proc.root / "driver" / "nvidia").mkdir(parents=True)
    assert "quorate[nvml]" in opened("auto", proc, powercap)[1][1]


def test_a_machine_that_tells_nothing_has_an_absent_meter(
    tmp_path: Path, powercap: PowercapTree
) -> None:
    meter, notes = opened("auto", ProcTree(tmp_path / "empty"), powercap)
    assert isinstance(meter, AbsentMeter)
    assert any("does not tell the CPU time" in note for note in notes)


def test_off_is_off(proc: ProcTree, powercap: PowercapTree) -> None:
    powercap.add("intel-rapl:0", "package-0")
    meter, notes = opened("off", proc, powercap)
    assert isinstance(meter, AbsentMeter)
    assert notes == ("energy is not metered: energy.source is off",)


@pytest.mark.parametrize("source", ["rapl", "nvml", "zeus"])
def test_a_source_asked_for_by_name_that_is_not_there_is_an_error(
    source: str, proc: ProcTree, powercap: PowercapTree
) -> None:
    with pytest.raises(SettingsError, match=f"energy.source: {source}: .+; .+"):
        opened(source, proc, powercap)


def test_an_estimate_without_processes_to_read_is_an_error(
    tmp_path: Path, powercap: PowercapTree
) -> None:
    with pytest.raises(SettingsError, match="does not tell the CPU time"):
        opened("estimate", ProcTree(tmp_path / "empty"), powercap)


def test_a_source_asked_for_by_name_is_used_alone(proc: ProcTree, powercap: PowercapTree) -> None:
    powercap.add("intel-rapl:0", "package-0")
    load = only(pynvml=SimulatedNvml([0]))
    assert opened("rapl", proc, powercap, load)[0].totals().keys() == {"package-0"}
    assert opened("nvml", proc, powercap, load)[0].totals().keys() == {"gpu-0"}
    assert opened("estimate", proc, powercap, load)[0].totals().keys() == {"cpu-time"}


def test_configured_power_is_used_for_the_estimate(proc: ProcTree, powercap: PowercapTree) -> None:
    _, notes = opened("estimate", proc, powercap, tdp_watts=30.0)
    assert "15.0 W per core" in notes[0]


def test_this_machine_has_a_meter_of_some_kind() -> None:
    meter, notes = open_meter(EnergySettings(), dict)
    assert isinstance(meter, CounterMeter)
    assert meter.totals()
    assert notes


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"source": "rap"}, "energy.source"),
        ({"tdp_watts": -1}, "energy.tdp_watts"),
        ({"window_seconds": 0}, "energy.window_seconds"),
        ({"idle_wats": 3}, "did you mean idle_watts"),
    ],
)
def test_settings_that_cannot_be_are_refused(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        read_options(EnergySettings, table, "energy")
