"""A powercap tree in a folder of the test, laid out as the kernel's."""

from __future__ import annotations

from pathlib import Path

RANGE_MICROJOULES = 262_143_328_850


class PowercapTree:
    """Zones by the kernel's names, such as ``intel-rapl:0:2``, whose counters the test moves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def add(self, zone: str, name: str, microjoules: int = 0) -> None:
        """Adds a zone: inside its parent, and a link to it at the top, as in sysfs."""
        home = self.folder(zone)
        home.mkdir(parents=True)
        (home / "name").write_text(f"{name}\n")
        (home / "max_energy_range_uj").write_text(f"{RANGE_MICROJOULES}\n")
        self.set(zone, microjoules)
        if home.parent != self.root:
            (self.root / zone).symlink_to(home)

    def folder(self, zone: str) -> Path:
        """Where a zone's files are."""
        _, package, *part = zone.split(":")
        top = self.root / f"intel-rapl:{package}"
        return top / zone if part else top

    def set(self, zone: str, microjoules: int) -> None:
        """Sets the counter of a zone."""
        (self.folder(zone) / "energy_uj").write_text(f"{microjoules}\n")

    def spend(self, zone: str, joules: float) -> None:
        """Lets a zone spend some joules, past the end of its register if need be."""
        file = self.folder(zone) / "energy_uj"
        register = int(file.read_text()) + round(joules * 1e6)
        self.set(zone, register % RANGE_MICROJOULES)

    def remove(self, zone: str) -> None:
        """Takes the counter of a zone away."""
        (self.folder(zone) / "energy_uj").unlink()
