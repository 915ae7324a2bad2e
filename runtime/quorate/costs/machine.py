"""Which kind of machine this is, so that costs learned on one are not believed on another."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

_GIB_IN_KIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What makes a machine fast or slow.

    Privacy: no host name, address, serial number, UUID or user is read, so equal machines have
    equal fingerprints, and a fingerprint does not tell which of them it is from.

    Attributes:
        cores: That this process may run on.
        memory_class: 2 · log2 of the memory in GiB, rounded: steps of 41 %, since a kernel
            reserves a little more or less with every boot. None where it is not known.
        gpus: Model names of NVIDIA GPUs, sorted.
    """

    cpu: str
    cores: int
    memory_class: int | None
    gpus: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that stand for these facts."""
        facts = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


def this_machine(proc: Path = Path("/proc")) -> Machine:
    """Reads what this machine is in its process file system; runs no programs."""
    return Machine(
        cpu=_cpu(_read(proc / "cpuinfo")),
        cores=_cores(),
        memory_class=_memory_class(_read(proc / "meminfo")),
        gpus=_gpus(proc / "driver" / "nvidia" / "gpus"),
    )


def _cpu(cpuinfo: str) -> str:
    # x86 has a name; Arm has numbers for its maker and its part.
    names = [_value(cpuinfo, label) for label in ("model name", "CPU implementer", "CPU part")]
    found = " ".join(name for name in names if name)
    return found or platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_class(meminfo: str) -> int | None:
    words = _value(meminfo, "MemTotal").split()
    if not words or not words[0].isdecimal() or int(words[0]) == 0:
        return None
    return round(2 * math.log2(int(words[0]) / _GIB_IN_KIB))


def _gpus(folder: Path) -> tuple[str, ...]:
    models = (_value(_read(path), "Model") for path in folder.glob("*/information"))
    return tuple(sorted(model for model in models if model))


def _value(text: str, label: str) -> str:
    """The first ``label : value`` of a listing; empty where there is none."""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == label:
            return value.strip()
    return ""


def _read(path: Path) -> str:
    """A file's text; empty where there is none to read, as on systems without /proc."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
