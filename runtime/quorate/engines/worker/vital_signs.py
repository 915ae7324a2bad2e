"""What the kernel knows of a process that tells nothing itself: whether it does anything at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
# Of /proc/PID/stat, behind the name in brackets; see proc_pid_stat(5).
_STATE, _MINOR_FAULTS, _MAJOR_FAULTS, _USER_TICKS, _SYSTEM_TICKS = 0, 7, 9, 11, 12
_STOPPED = "T"
_WAITS_FOR_DISK = "D"


class VitalSigns(NamedTuple):
    """Of a process and all that it has started.

    Attributes:
        cpu_ticks: CPU time, in ticks of the system.
        page_faults: How often memory was touched that was not there.
        bytes_read: From files, sockets and disks, what a page fault has fetched included.
        waits_for_disk: Whether a thread waits for a disk, however slow that is.
    """

    cpu_ticks: int
    page_faults: int
    bytes_read: int
    waits_for_disk: bool


def vital_signs(pid: int, proc: Path = _PROC) -> VitalSigns:
    """Reads them; a process that is gone has none left."""
    cpu_ticks = page_faults = bytes_read = 0
    waits_for_disk = False
    for one in _family(pid, proc):
        fields = _stat(proc / str(one))
        if fields:
            cpu_ticks += int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
            page_faults += int(fields[_MINOR_FAULTS]) + int(fields[_MAJOR_FAULTS])
        bytes_read += _bytes_read(proc / str(one))
        tasks = _tasks(proc / str(one))
        waits_for_disk = waits_for_disk or any(
            (fields := _stat(task)) and fields[_STATE] == _WAITS_FOR_DISK for task in tasks
        )
    return VitalSigns(cpu_ticks, page_faults, bytes_read, waits_for_disk)


def cpu_ticks(pid: int, proc: Path = _PROC) -> int:
    """CPU time of a process without those it started; 0 for one that is gone."""
    fields = _stat(proc / str(pid))
    return int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS]) if fields else 0


def is_stopped(pid: int, proc: Path = _PROC) -> bool:
    """Whether a process was stopped by a signal."""
    fields = _stat(proc / str(pid))
    return bool(fields) and fields[_STATE] == _STOPPED


def _family(pid: int, proc: Path) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in _tasks(proc / str(pid)):
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                yield from _family(int(child), proc)


def _tasks(folder: Path) -> list[Path]:
    try:
        return [folder / "task" / name for name in os.listdir(folder / "task")]
    except OSError:
        return []


def _stat(folder: Path) -> list[str]:
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _bytes_read(folder: Path) -> int:
    """0 where the kernel does not say, as some containers have it."""
    try:
        lines = (folder / "io").read_text().splitlines()
    except OSError:
        return 0
    figures = dict(line.split(": ") for line in lines)
    return int(figures.get("rchar", 0)) + int(figures.get("read_bytes", 0))
