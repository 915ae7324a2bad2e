from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path

import pytest

from quorate.costs.machine import Machine, this_machine

MACHINE = Machine("AMD EPYC", 2, 6, ("NVIDIA H100",))


def write(
    folder: Path, memory_kib: int = 8_130_000, cpu: str = "model name\t: Some CPU @ 2GHz"
) -> Path:
    (folder / "cpuinfo").write_text(f"processor\t: 0\n{cpu}\n\nprocessor\t: 1\n{cpu}\n")
    (folder / "meminfo").write_text(f"MemTotal:       {memory_kib} kB\nMemFree: 5 kB\n")
    return folder


def test_it_reads_the_processor_the_memory_and_the_cores_it_may_use(tmp_path: Path) -> None:
    machine = this_machine(write(tmp_path))
    assert machine.cpu == "Some CPU @ 2GHz"
    assert machine.memory_class == 6
    assert machine.gpus == ()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)


def test_it_reads_the_names_of_gpus_and_not_their_serials(tmp_path: Path) -> None:
    for slot, model in [("0000:41:00.0", "NVIDIA H100"), ("0000:01:00.0", "NVIDIA A10")]:
        folder = tmp_path / "driver" / "nvidia" / "gpus" / slot
        folder.mkdir(parents=True)
        text = f"Model: \t\t {model}\nIRQ: 7\nGPU UUID: \t GPU-0-1-2\n"
        (folder / "information").write_text(text)
    assert this_machine(tmp_path).gpus == ("NVIDIA A10", "NVIDIA H100")


def test_an_arm_processor_is_known_by_its_numbers(tmp_path: Path) -> None:
    proc = write(tmp_path, cpu="CPU implementer\t: 0x41\nCPU part\t: 0xd0c")
    assert this_machine(proc).cpu == "0x41 0xd0c"


def test_without_a_process_file_system_something_is_known_still(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.memory_class is None
    assert machine.cpu in (platform.processor(), platform.machine())


@pytest.mark.parametrize("text", ["MemTotal: many kB", "MemTotal: 0 kB", "MemTotal:", ""])
def test_memory_that_cannot_be_read_is_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert this_machine(tmp_path).memory_class is None


def test_a_kernel_that_reserves_a_little_more_is_the_same_machine(tmp_path: Path) -> None:
    first = this_machine(write(tmp_path, 8_130_000))
    assert this_machine(write(tmp_path, 8_010_000)) == first
    assert this_machine(write(tmp_path, 16_260_000)) != first


def test_equal_machines_have_one_fingerprint_and_others_another() -> None:
    assert MACHINE.fingerprint == dataclasses.replace(MACHINE).fingerprint
    others = [
        dataclasses.replace(MACHINE, cpu="AMD EPYC 2"),
        dataclasses.replace(MACHINE, cores=4),
        dataclasses.replace(MACHINE, memory_class=None),
        dataclasses.replace(MACHINE, gpus=()),
    ]
    assert len({one.fingerprint for one in [MACHINE, *others]}) == 5


def test_the_fingerprint_is_sixteen_digits_and_tells_nothing() -> None:
    assert len(MACHINE.fingerprint) == 16
    assert set(MACHINE.fingerprint) <= set("0123456789abcdef")


def test_this_machine_is_itself() -> None:
    assert this_machine() == this_machine()
