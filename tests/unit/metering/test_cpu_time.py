from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quorate.metering.cpu_time import CpuTime, process_cpu_seconds

COORDINATOR_PID = 7


class SimulatedProcesses(dict[int, float]):
    """CPU seconds by process id, as a test sets them."""

    def clock(self, pids: dict[str, int]) -> CpuTime:
        return CpuTime(lambda: pids, COORDINATOR_PID, self.get)


@pytest.fixture
def processes() -> SimulatedProcesses:
    return SimulatedProcesses({COORDINATOR_PID: 1.0})


def test_time_counts_by_model(processes: SimulatedProcesses) -> None:
    processes[20] = 2.5
    assert processes.clock({"a": 20}).read() == {"": 1.0, "a": 2.5}


def test_the_sum_of_a_model_goes_on_rising_when_its_worker_restarts(
    processes: SimulatedProcesses,
) -> None:
    pids = {"a": 20}
    processes[20] = 2.0
    clock = processes.clock(pids)
    clock.read()
    del processes[20]
    assert clock.read()["a"] == 2.0
    pids["a"] = 21
    processes[21] = 0.5
    assert clock.read()["a"] == 2.5
    processes[21] = 0.75
    assert clock.read()["a"] == 2.75


def test_a_pid_that_is_used_again_is_another_process(processes: SimulatedProcesses) -> None:
    clock = processes.clock({"a": 20})
    processes[20] = 2.0
    clock.read()
    processes[20] = 0.5
    assert clock.read()["a"] == 2.5


def test_a_model_that_was_unloaded_keeps_its_sum(processes: SimulatedProcesses) -> None:
    pids = {"a": 20}
    processes[20] = 2.0
    clock = processes.clock(pids)
    clock.read()
    pids.clear()
    assert clock.read()["a"] == 2.0


def test_a_process_that_was_never_seen_is_absent_and_not_zero(
    processes: SimulatedProcesses,
) -> None:
    assert processes.clock({"a": 404}).read() == {"": 1.0}


def test_the_clock_of_another_process_tells_a_millisecond_of_its_work() -> None:
    work = (
        "import time\nwhile time.process_time() < 0.2: pass\nprint(time.process_time(), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", work + "\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = float(process.stdout.readline())
        told = process_cpu_seconds(process.pid)
        process.communicate("\n")
    assert told is not None
    assert 0.0 <= told - said < 0.05


def test_the_clock_of_a_process_that_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert process_cpu_seconds(process.pid) is None


def test_the_time_of_this_very_process_rises_with_its_work() -> None:
    clock = CpuTime(dict)
    before = clock.read()[""]
    spent = os.times()
    while os.times().user - spent.user < 0.05:
        pass
    assert 0.03 <= clock.read()[""] - before < 5.0
