from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.generation import EnergyTier
from quorate.measurement.cpu_time import CpuTime, CpuTimeCounter
from support.proc_tree import TICKS_PER_SECOND, ProcTree

COORDINATOR_PID = 7


@pytest.fixture
def proc(tmp_path: Path) -> ProcTree:
    proc = ProcTree(tmp_path)
    proc.process(COORDINATOR_PID, user=1.0)
    return proc


def cpu_time(proc: ProcTree, pids: dict[str, int]) -> CpuTime:
    return CpuTime(lambda: pids, proc.root, COORDINATOR_PID, TICKS_PER_SECOND)


def test_time_in_user_and_kernel_mode_counts_by_model(proc: ProcTree) -> None:
    proc.process(20, user=2.0, kernel=0.5)
    assert cpu_time(proc, {"a": 20}).read() == {"": 1.0, "a": 2.5}


def test_a_program_may_have_any_name(proc: ProcTree) -> None:
    proc.process(20, user=2.0, name="a) R (b 1 2")
    assert cpu_time(proc, {"a": 20}).read()["a"] == 2.0


def test_the_sum_of_a_model_goes_on_rising_when_its_worker_restarts(proc: ProcTree) -> None:
    pids = {"a": 20}
    proc.process(20, user=2.0)
    clock = cpu_time(proc, pids)
    clock.read()
    proc.end(20)
    assert clock.read()["a"] == 2.0
    pids["a"] = 21
    proc.process(21, user=0.5)
    assert clock.read()["a"] == 2.5
    proc.process(21, user=0.75)
    assert clock.read()["a"] == 2.75


def test_a_pid_that_is_used_again_is_another_process(proc: ProcTree) -> None:
    clock = cpu_time(proc, {"a": 20})
    proc.process(20, user=2.0, started=100)
    clock.read()
    proc.process(20, user=3.0, started=200)
    assert clock.read()["a"] == 5.0


def test_a_model_that_was_unloaded_keeps_its_sum(proc: ProcTree) -> None:
    pids = {"a": 20}
    proc.process(20, user=2.0)
    clock = cpu_time(proc, pids)
    clock.read()
    pids.clear()
    assert clock.read()["a"] == 2.0


def test_a_process_that_was_never_seen_is_absent_and_not_zero(proc: ProcTree) -> None:
    assert cpu_time(proc, {"a": 404}).read() == {"": 1.0}


def test_the_time_of_this_very_process_rises_with_its_work() -> None:
    clock = CpuTime(dict)
    before = clock.read()[""]
    spent = os.times()
    while os.times().user - spent.user < 0.05:
        pass
    assert 0.03 <= clock.read()[""] - before < 5.0


def test_the_estimate_is_the_power_of_a_core_for_the_time_it_was_used(proc: ProcTree) -> None:
    proc.process(20, user=2.0)
    counter = CpuTimeCounter(cpu_time(proc, {"a": 20}), watts_per_core=5.0)
    assert counter.tier is EnergyTier.ESTIMATED
    assert counter.read() == pytest.approx(15.0)


def test_the_estimate_is_absent_where_no_process_can_be_read(tmp_path: Path) -> None:
    counter = CpuTimeCounter(cpu_time(ProcTree(tmp_path / "empty"), {}), watts_per_core=5.0)
    assert counter.read() is None
