"""A proc file system in a folder of the test, with what the energy estimate reads there."""

from __future__ import annotations

from pathlib import Path

_CORES = """processor\t: {index}
model name\t: {name}
physical id\t: 0
core id\t\t: {core}
"""


class ProcTree:
    """A machine whose processor the test chooses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def processor(self, name: str, cores: int, threads_per_core: int = 1) -> None:
        """Writes ``cpuinfo``."""
        blocks = [
            _CORES.format(index=index, name=name, core=index // threads_per_core)
            for index in range(cores * threads_per_core)
        ]
        (self.root / "cpuinfo").write_text("\n".join(blocks))
