"""Which processor cores there are, and which model runs on which.

Cores are divided among the models, not shared: two models that each spin on all cores cost each
other a factor of three.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from quorate.engines.worker.affinity import ANY_CORE
from quorate.fleet.cores import CoreClaims, Cores

_log = logging.getLogger(__name__)


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

    Where cores cannot be told apart, or other servers of this machine have them, a model has as
    many of ``ANY_CORE`` as it may have threads, and runs wherever there is room.

    Args:
        cores: What there is; ids alone are all pinned to.
        claims: Keeps other servers from the cores that models are pinned to, and this one from
            theirs; without it nobody is asked.
    """

    def __init__(self, cores: Cores | Sequence[int], claims: CoreClaims | None = None) -> None:
        ids = () if isinstance(cores, Cores) else tuple(cores)
        self._cores = cores if isinstance(cores, Cores) else Cores(ids, len(ids))
        self._claims = claims
        self._models: dict[str, _Placed] = {}
        self._crowded = False

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
        for model, cores in self._shares(wanted).items():
            placed = self._models[model]
            if placed.cores != cores:
                placed.cores = cores
                placed.move(cores)

    def _shares(self, wanted: Mapping[str, int | None]) -> dict[str, tuple[int, ...]]:
        ids = self._own(wanted) if self._cores.pin else ()
        if ids:
            return divide_cores(ids, wanted)
        shares = divide_cores(range(self._cores.threads), wanted)
        return {model: (ANY_CORE,) * len(share) for model, share in shares.items()}

    def _own(self, wanted: Mapping[str, int | None]) -> tuple[int, ...]:
        """Cores that nobody else has, enough for these models; none where they do not suffice."""
        ids, claims = self._cores.ids, self._claims
        if claims is None:
            return ids
        configured = [count for count in wanted.values() if count is not None]
        all_of_them = len(configured) < len(wanted)
        taken = claims.take(ids, len(ids) if all_of_them else min(sum(configured), len(ids)))
        if len(taken) >= min(len(wanted), len(ids)):
            self._crowded = False
            return taken
        claims.release()
        if not self._crowded:
            self._crowded = True
            _log.info(
                "other servers of this machine have pinned models to its cores: those of this one "
                "run wherever there is room; give models fewer cores, or servers cpusets"
            )
        return ()


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
