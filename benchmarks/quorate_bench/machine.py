"""What a machine is, as far as it decides how fast models run on it. Runs no programs."""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from quorate.costs.machine import this_machine

_CPU = Path("/sys/devices/system/cpu")
_READ_BYTES = 128 << 20
_PASSES = 4


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """A machine; without host name, serial numbers or users.

    Attributes:
        cpu: Name of the processor.
        cores: That this process may run on.
        memory_bytes: Of the machine.
        caches: Such as ``L2 2 MiB``.
        read_bytes_per_second: What all cores together read from memory, measured.
        gpus: Names of NVIDIA GPUs.
        governor: How the kernel chooses frequencies; "" where that is not told.
        system: Operating system and architecture.
    """

    cpu: str
    cores: int
    memory_bytes: int
    caches: tuple[str, ...]
    read_bytes_per_second: float
    gpus: tuple[str, ...]
    governor: str
    system: str

    @classmethod
    def of(cls, told: dict[str, Any]) -> MachineFacts:
        """From a record.

        Raises:
            KeyError, TypeError: It is none.
        """
        known = {field.name: told[field.name] for field in fields(cls)}
        lists = {name: tuple(told[name]) for name in ("caches", "gpus")}
        return cls(**{**known, **lists})


def measured_machine() -> MachineFacts:
    """Reads what this machine is, and measures its memory; takes about a second."""
    known = this_machine()
    return MachineFacts(
        cpu=known.cpu,
        cores=known.cores,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        caches=_caches(_CPU / "cpu0" / "cache"),
        read_bytes_per_second=read_bandwidth(known.cores),
        gpus=known.gpus,
        governor=_read(_CPU / "cpu0" / "cpufreq" / "scaling_governor"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def read_bandwidth(cores: int, size: int = _READ_BYTES) -> float:
    """Bytes per second that so many threads read from memory; the best of a few passes.

    The weights of a model are read once for each token, from first to last: so is an array here, as
    the sum of STREAM's kernels does (McCalpin, 1995).

    Args:
        cores: Threads.
        size: Bytes of the array; one that a cache holds tells what the cache allows.
    """
    share = np.ones(max(1, size // 8 // cores), np.float64)
    shares = [share, *(share.copy() for _ in range(cores - 1))]
    times = max(1, _READ_BYTES // max(1, size))
    return max(_pass(shares, times) for _ in range(_PASSES))


def available_bytes() -> int:
    """Memory that could be taken now without swapping; that of the machine where unknown."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _pass(shares: list[np.ndarray[Any, np.dtype[np.float64]]], times: int) -> float:
    ready = threading.Barrier(len(shares) + 1)

    def read(share: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        ready.wait()
        for _ in range(times):
            np.maximum.reduce(share)

    threads = [threading.Thread(target=read, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return times * sum(share.nbytes for share in shares) / (time.perf_counter() - began)


def _caches(folder: Path) -> tuple[str, ...]:
    """Sizes of data caches, as the kernel tells them of the first core."""
    found = []
    for index in sorted(folder.glob("index*")):
        if _read(index / "type") == "Instruction":
            continue
        size = _read(index / "size")
        if size.endswith("K") and size[:-1].isdecimal():
            found.append(f"L{_read(index / 'level')} {_size(int(size[:-1]))}")
    return tuple(found)


def _size(kibibytes: int) -> str:
    return f"{kibibytes} KiB" if kibibytes < 1024 else f"{kibibytes / 1024:g} MiB"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
