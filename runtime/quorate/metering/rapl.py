"""RAPL energy counters of processors and their memory, through Linux's powercap tree.

AMD processors appear under the same names as Intel's. The tree is described in the kernel's
``Documentation/power/powercap/powercap.rst``; since Linux 5.10 its counters are readable only by
root, against side channels (CVE-2020-8694).

Zones are counted so that no joule is counted twice: ``core`` and ``uncore`` are parts of their
package, and ``psys`` covers the packages, so it is used only where there is none. ``dram`` is not
part of its package. The tree ``intel-rapl-mmio`` shows the same package again and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from quorate.metering.counters import Found, RegisterCounter

POWERCAP = Path("/sys/class/powercap")
_UDEV_RULE = (
    'SUBSYSTEM=="powercap", KERNEL=="intel-rapl:*", ACTION=="add", '
    'RUN+="/bin/chmod a+r /sys%p/energy_uj"'
)
_MICROJOULES = 1e-6
MEMORY = "-dram"
"""How the name of a counter of memory ends."""

# A zone may be gone or refuse.
_UNREADABLE = (OSError, ValueError)


def find_rapl(root: Path = POWERCAP, read_text: Callable[[Path], str] = Path.read_text) -> Found:
    """The zones of this machine that can be read and together count every joule once.

    Args:
        root: The powercap tree.
        read_text: Reads a file.
    """
    counters, refused = [], []
    for name, zone in _domains(root, read_text):
        try:
            _energy(zone, read_text)
            wraps_at = int(read_text(zone / "max_energy_range_uj"))
        except PermissionError:
            refused.append(name)
        except _UNREADABLE:
            continue
        else:
            read = partial(_energy, zone, read_text)
            counters.append(RegisterCounter(name, "cpu", read, _MICROJOULES, wraps_at, _UNREADABLE))
    return Found(tuple(counters), "RAPL", _problem(root, bool(counters), refused))


def _energy(zone: Path, read_text: Callable[[Path], str]) -> int:
    return int(read_text(zone / "energy_uj"))


def _problem(root: Path, any_readable: bool, refused: list[str]) -> str:
    if refused:
        return (
            f"only root may read the energy counters of {', '.join(refused)} (CVE-2020-8694); "
            f"run: chmod a+r {root}/intel-rapl:*/energy_uj, and to keep that across restarts add "
            f"the udev rule: {_UDEV_RULE}"
        )
    if not any_readable:
        return (
            f"no RAPL counters in {root}; virtual machines have none, elsewhere load the kernel "
            "module intel_rapl_msr (it serves AMD too)"
        )
    return ""


def _domains(root: Path, read_text: Callable[[Path], str]) -> Iterator[tuple[str, Path]]:
    tops = [(_name(zone, read_text), zone) for zone in sorted(root.glob("intel-rapl:*"))]
    packages = [(name, zone) for name, zone in tops if name.startswith("package")]
    for name, zone in packages:
        yield name, zone
        for part in sorted(zone.glob("intel-rapl:*")):
            if _name(part, read_text) == "dram":
                yield f"{name}{MEMORY}", part
    if not packages:
        yield from ((name, zone) for name, zone in tops if name == "psys")


def _name(zone: Path, read_text: Callable[[Path], str]) -> str:
    try:
        return read_text(zone / "name").strip()
    except OSError:
        return ""
