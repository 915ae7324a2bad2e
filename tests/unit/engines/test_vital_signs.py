"""What the kernel tells of a process that is silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quorate.engines.worker.vital_signs import (
    cpu_ticks,
    is_stopped,
    run_delay_seconds,
    vital_signs,
)

STAT = "{pid} (a name) with) {state} 1 1 1 0 -1 4194560 {minor} 0 {major} 0 {user} {system} 0 0 20"


def write_process(proc: Path, pid: int, children: str = "", **figures: object) -> None:
    values = {"state": "S", "minor": 0, "major": 0, "user": 0, "system": 0, **figures}
    line = STAT.format(pid=pid, **values)
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (proc / str(pid) / "stat").write_text(line)
    (task / "stat").write_text(line)
    (task / "children").write_text(children)


@contextmanager
def program(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has written a line; killed at the end."""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_the_signs_of_a_process_are_those_of_all_that_it_started(tmp_path: Path) -> None:
    write_process(tmp_path, 10, "11 12", user=1, system=2, minor=3, major=4)
    write_process(tmp_path, 11, "13", user=10)
    write_process(tmp_path, 12, major=100)
    write_process(tmp_path, 13, state="D")
    (tmp_path / "11" / "io").write_text("rchar: 5\nwchar: 7\nread_bytes: 4096\n")
    signs = vital_signs(10, tmp_path)
    assert signs == (13, 107, 4101, True)
    assert not vital_signs(12, tmp_path).waits_for_disk


def test_a_process_that_is_gone_shows_nothing(tmp_path: Path) -> None:
    assert vital_signs(10, tmp_path) == (0, 0, 0, False)
    assert not is_stopped(10, tmp_path)


@pytest.mark.parametrize(("state", "stopped"), [("T", True), ("t", False), ("S", False)])
def test_a_signal_stops_a_process_and_a_debugger_does_not(
    tmp_path: Path, state: str, stopped: bool
) -> None:
    write_process(tmp_path, 10, state=state)
    assert is_stopped(10, tmp_path) is stopped


def test_whoever_waits_for_nothing_shows_no_sign_of_life() -> None:
    with program("import signal; print(flush=True); signal.pause()") as process:
        before = vital_signs(process.pid)
        assert before.cpu_ticks > 0
        assert vital_signs(process.pid) == before


def test_reading_is_a_sign_of_life() -> None:
    script = "import sys; print(flush=True)\nfor line in sys.stdin: print(line, flush=True)"
    with program(script) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = vital_signs(process.pid)
        process.stdin.write(b"x" * 5000 + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert vital_signs(process.pid).bytes_read >= before.bytes_read + 5000


def test_a_stopped_process_is_seen_as_such() -> None:
    with program("import signal; print(flush=True); signal.pause()") as process:
        assert not is_stopped(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert is_stopped(process.pid)


def test_the_time_on_cores_is_that_of_a_process_alone(tmp_path: Path) -> None:
    write_process(tmp_path, 10, "11", user=1, system=2)
    write_process(tmp_path, 11, user=10)
    assert (cpu_ticks(10, tmp_path), cpu_ticks(12, tmp_path)) == (3, 0)


@pytest.mark.parametrize(
    ("told", "seconds"), [("5 1500000000 7\n", 1.5), ("0 0 0\n", 0.0), ("", 0.0), (None, 0.0)]
)
def test_how_long_a_process_was_kept_from_cores_is_told_by_the_kernel(
    tmp_path: Path, told: str | None, seconds: float
) -> None:
    write_process(tmp_path, 10)
    if told is not None:
        (tmp_path / "10" / "schedstat").write_text(told)
    assert run_delay_seconds(10, tmp_path) == seconds


def test_the_kernel_of_this_machine_counts_how_long_processes_are_kept_from_cores() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel does not count it")
    assert run_delay_seconds(os.getpid()) > 0.0
