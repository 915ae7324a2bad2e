"""Which processor cores there are, and which model runs on which.

Cores are divided among the models, not shared: two models that each spin on all cores cost each
other a factor of three.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path, PurePosixPath


@dataclass(slots=True)
class _Placed:
    """A model, and what it runs on now.

    Attributes:
        wanted: Its configured count of cores, or None for an even share.
        move: Told its cores when they change.
        loaded: Whether it takes part in the division.
    """

    wanted: int | None
    move: Callable[[tuple[int, ...]], None]
    loaded: bool = False
    cores: tuple[int, ...] = ()


class Placement:
    """Divides the cores among the loaded models, anew whenever one comes or goes.

    Args:
        available: Ids of the cores, at least one.
    """

    def __init__(self, available: Sequence[int]) -> None:
        self._available = tuple(available)
        self._models: dict[str, _Placed] = {}

    def add(self, model: str, wanted: int | None, move: Callable[[tuple[int, ...]], None]) -> None:
        """Makes a model known, not loaded, see ``_Placed``; cores are dealt in this order."""
        self._models[model] = _Placed(wanted, move)

    def enter(self, model: str) -> tuple[int, ...]:
        """Has a model take part, and returns its cores."""
        placed = self._models[model]
        placed.loaded = True
        self._divide()
        return placed.cores

    def leave(self, model: str) -> None:
        """Takes a model's cores away, of which it is not told."""
        placed = self._models[model]
        placed.loaded = False
        placed.cores = ()
        self._divide()

    def _divide(self) -> None:
        wanted = {model: one.wanted for model, one in self._models.items() if one.loaded}
        for model, cores in divide_cores(self._available, wanted).items():
            placed = self._models[model]
            if placed.cores != cores:
                placed.cores = cores
                placed.move(cores)


def divide_cores(
    available: Sequence[int], wanted: Mapping[str, int | None]
) -> dict[str, tuple[int, ...]]:
    """Gives each model its cores.

    Models with a configured count are served first, the others share the rest evenly, and everyone
    gets at least one. Cores are shared, in turn, only where there are not enough of them.

    Args:
        available: Ids of the cores, at least one.
        wanted: Model -> configured count, at least 1, or None for an even share.

    Returns:
        Model -> ids of its cores, ascending, in the order of ``wanted``.
    """
    total = len(available)
    counts = {model: min(count, total) for model, count in wanted.items() if count is not None}
    flexible = [model for model, count in wanted.items() if count is None]
    rest = max(0, total - sum(counts.values()))
    for index, model in enumerate(flexible):
        share = rest // len(flexible) + (index < rest % len(flexible))
        counts[model] = max(1, share)
    deal = cycle(available)
    dealt = {model: tuple(sorted(islice(deal, count))) for model, count in counts.items()}
    return {model: dealt[model] for model in wanted}


def available_cores() -> tuple[int, ...]:
    """Ids of the cores this process may use: its affinity, cut to its cgroup's CPU quota."""
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    quota = cgroup_quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return allowed if quota is None else allowed[: max(1, math.ceil(quota))]


def cgroup_quota(mount: Path, membership: Path) -> float | None:
    """CPU quota of a process in cores, the tightest from its cgroup (version 2) up to the root.

    Args:
        mount: Where the cgroup file system is mounted.
        membership: The process's ``/proc/PID/cgroup``.

    Returns:
        None where nothing limits it, or where there is no cgroup version 2.
    """
    try:
        entries = membership.read_text().splitlines()
    except OSError:
        return None
    paths = [entry.removeprefix("0::") for entry in entries if entry.startswith("0::")]
    quotas = [
        quota
        for path in paths
        for folder in _upwards(PurePosixPath(path))
        if (quota := _read_quota(mount / folder / "cpu.max")) is not None
    ]
    return min(quotas, default=None)


def _upwards(path: PurePosixPath) -> Iterable[PurePosixPath]:
    inside = path.relative_to("/") if path.is_absolute() else path
    return (inside, *inside.parents)


def _read_quota(file: Path) -> float | None:
    try:
        limit, period = file.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)
