from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import SettingsError
from quorate.metering.cpu_time import CpuTime
from quorate.metering.meter import Meter
from quorate.metering.open_meter import Host, open_meter
from quorate.metering.settings import EnergySettings
from quorate.request import Energy, EnergyTier
from quorate.request.work import Work
from support.powercap_tree import PowercapTree
from support.proc_tree import ProcTree
from support.simulated_counters import SimulatedNvml, only
from support.simulated_zeus import SimulatedGpus, SimulatedPackage, SimulatedZeus, zeus_importer


class Here:
    """A machine with two cores that a test describes further."""

    def __init__(self, folder: Path) -> None:
        self.proc = ProcTree(folder / "proc")
        self.proc.processor("AMD EPYC 7763 64-Core Processor", cores=2)
        self.powercap = PowercapTree(folder / "powercap")

    def forget_the_processor(self) -> None:
        (self.proc.root / "cpuinfo").unlink()

    def opened(
        self, source: str, load: Callable[[str], Any] | None = None, **settings: Any
    ) -> tuple[Meter, tuple[str, ...]]:
        host = Host(self.powercap.root, self.proc.root, load or only(), {})
        return open_meter(EnergySettings(source=source, **settings), dict, host=host)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_a_processor_and_gpus_that_count_are_measured(here: Here) -> None:
    here.powercap.add("intel-rapl:0", "package-0")
    meter, notes = here.opened("auto", only(pynvml=SimulatedNvml([0])))
    assert meter.totals().keys() == {"package-0", "gpu-0"}
    assert notes == ("energy measured: package-0, by RAPL", "energy measured: gpu-0, by NVML")


def test_a_processor_that_does_not_count_is_estimated_and_the_note_says_how_to_do_better(
    here: Here,
) -> None:
    meter, notes = here.opened("auto")
    assert meter.totals().keys() == {"cpu-time"}
    assert "virtual machines have none" in notes[0]
    assert notes[1] == (
        "energy estimated: cpu-time, by CPU time at 4.4 W per core in use "
        "(EPYC 7763: 280 W for 64 cores)"
    )


def test_a_gpu_beside_an_estimated_processor_is_measured(here: Here) -> None:
    meter, _ = here.opened("auto", only(pynvml=SimulatedNvml([0])))
    assert meter.totals().keys() == {"cpu-time", "gpu-0"}


def test_zeus_adds_what_nothing_else_counts_and_nothing_twice(here: Here) -> None:
    here.powercap.add("intel-rapl:0", "package-0")
    zeus = zeus_importer(SimulatedZeus(SimulatedGpus([0]), [SimulatedPackage(0, 0.0, None)]))
    host = Host(here.powercap.root, here.proc.root, zeus, {"ZEUSD_HOST_PORT": "localhost:4938"})
    _, notes = open_meter(EnergySettings(), dict, host=host)
    assert notes == ("energy measured: package-0, by RAPL", "energy measured: gpu-0, by Zeus")


def test_a_gpu_that_could_be_measured_is_mentioned_only_where_there_is_one(here: Here) -> None:
    here.powercap.add("intel-rapl:0", "package-0")
    assert here.opened("auto")[1] == ("energy measured: package-0, by RAPL",)
    (here.proc.root / "driver" / "nvidia").mkdir(parents=True)
    assert "quorate[nvml]" in here.opened("auto")[1][1]


def test_a_machine_that_tells_nothing_has_an_absent_meter(here: Here) -> None:
    here.forget_the_processor()
    meter, notes = here.opened("auto")
    assert meter.totals() == {}
    assert any("does not tell the CPU time" in note for note in notes)


def test_off_is_off(here: Here) -> None:
    here.powercap.add("intel-rapl:0", "package-0")
    meter, notes = here.opened("off")
    assert meter.totals() == {}
    assert notes == ("energy is not metered: energy.source is off",)


@pytest.mark.parametrize("source", ["rapl", "nvml", "zeus"])
def test_a_source_asked_for_by_name_that_is_not_there_is_an_error(source: str, here: Here) -> None:
    with pytest.raises(SettingsError, match=f"energy.source: {source}: .+; .+"):
        here.opened(source)


def test_an_estimate_without_processes_to_read_is_an_error(here: Here) -> None:
    here.forget_the_processor()
    with pytest.raises(SettingsError, match="does not tell the CPU time"):
        here.opened("estimate")


def test_a_source_asked_for_by_name_is_used_alone(here: Here) -> None:
    here.powercap.add("intel-rapl:0", "package-0")
    load = only(pynvml=SimulatedNvml([0]))
    assert here.opened("rapl", load)[0].totals().keys() == {"package-0"}
    assert here.opened("nvml", load)[0].totals().keys() == {"gpu-0"}
    assert here.opened("estimate", load)[0].totals().keys() == {"cpu-time"}


def test_configured_power_is_used_for_the_estimate(here: Here) -> None:
    _, notes = here.opened("estimate", tdp_watts=30.0)
    assert "15.0 W per core" in notes[0]


def test_this_machine_has_a_meter_of_some_kind() -> None:
    meter, notes = open_meter(EnergySettings(), dict)
    assert meter.totals()
    assert notes


def test_a_processor_that_shows_a_counter_and_counts_nothing_is_estimated(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.powercap.add("intel-rapl:0", "package-0", 77)
    used = [0.0]
    monkeypatch.setattr(CpuTime, "read", lambda _: {"": 0.0, "a": used[0]})
    host = Host(here.powercap.root, here.proc.root, only(), {})
    for source in ("auto", "rapl"):
        used[0] = 0.0
        meter, _ = open_meter(EnergySettings(source=source), dict, host=host, clock=lambda: used[0])
        for _ in range(2):
            job = meter.begin(lambda: {"a": Work(decode=1)})
            used[0] += 3.0
            [energy] = meter.finish(job).values()
            assert energy == Energy(pytest.approx(3.0 * 280 / 64), EnergyTier.ESTIMATED)
        assert meter.totals().keys() == {"cpu-time"}
