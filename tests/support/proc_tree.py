"""A proc file system in a folder of the test, with the files that the energy estimate reads."""

from __future__ import annotations

from pathlib import Path

TICKS_PER_SECOND = 100
_CORES = """processor\t: {index}
model name\t: {name}
physical id\t: 0
core id\t\t: {core}
"""


class ProcTree:
    """Processes whose CPU time the test sets."""

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

    def process(
        self, pid: int, user: float, kernel: float = 0.0, started: int = 1, name: str = "python"
    ) -> None:
        """Writes ``stat`` of a process that used so many seconds; see proc(5)."""
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        times = [round(user * TICKS_PER_SECOND), round(kernel * TICKS_PER_SECOND)]
        before, after = ["S"] + ["1"] * 10, [0, 0, 20, 0, 8, 0, started, 1, 1]
        fields = [*before, *times, *after]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")

    def end(self, pid: int) -> None:
        """Ends a process."""
        (self.root / str(pid) / "stat").unlink()
