"""Who computes on which cores: the arithmetic, without any effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

_LOPSIDED = 1.15
"""How much longer the slowest share may take than all of them in turn, by a forecast.

A forecast takes a core to be worth as much among many as among few. In truth two that share a step
cost each other something, so that cores of one's own do better than forecast.
"""

_AT_ONCE = 0.5
"""How much of the wait of models that always want to compute at once shows that these do."""


def limited_cores(
    available: Sequence[int], wanted: Mapping[str, int | None]
) -> dict[str, tuple[int, ...]]:
    """The cores on which each model computes in turn with those that have the same ones.

    All of them, or as many as its limit says; models with limits have different ones as long as
    there are enough.

    Args:
        available: Ids of the cores, at least one.
        wanted: Model -> most cores, at least 1, or None for all.

    Returns:
        Model -> ids of its cores, ascending, in the order of ``wanted``.
    """
    deal = cycle(available)
    return {
        model: tuple(available)
        if most is None or most >= len(available)
        else tuple(sorted(islice(deal, most)))
        for model, most in wanted.items()
    }


def divided_cores(
    available: Sequence[int], wanted: Mapping[str, int | None], work: Mapping[str, float]
) -> dict[str, tuple[int, ...]] | None:
    """Gives each of these models cores of its own, in proportion to its work.

    Args:
        available: Ids of the cores.
        wanted: Model -> most cores, or None; at least one model.
        work: Model -> core-seconds, of the same stretch of time.

    Returns:
        Model -> ids of its cores, ascending; None where there are fewer cores than models.
    """
    if len(available) < len(wanted):
        return None
    counts = dict.fromkeys(wanted, 1)
    for _ in range(len(available) - len(wanted)):
        growing = [model for model, most in wanted.items() if most is None or counts[model] < most]
        if not growing:
            break
        slowest = max(growing, key=lambda model: work[model] / counts[model])
        counts[slowest] += 1
    deal = iter(available)
    return {model: tuple(sorted(islice(deal, count))) for model, count in counts.items()}


def division_pays(
    shares: Mapping[str, Sequence[int]], work: Mapping[str, float], computed: Mapping[str, float]
) -> bool:
    """Whether models would be about as fast at the same time on shares as they were in turn.

    Args:
        shares: Model -> the cores that it would have to itself.
        work: Model -> core-seconds that it took in turn.
        computed: Model -> seconds that this took.
    """
    slowest = max(work[model] / len(cores) for model, cores in shares.items())
    return slowest <= _LOPSIDED * sum(computed.values())


def compute_at_once(computed: Mapping[str, float], waited: Mapping[str, float]) -> bool:
    """Whether models that computed in turn wanted to do so at the same time, step after step.

    The last of n equal ones then waits for n - 1, the first for none. Those that feed one another,
    as who drafts and who verifies, never wait.

    Args:
        computed: Model -> seconds that it computed.
        waited: Model -> seconds that it waited until others had computed.
    """
    others = (len(computed) - 1) / 2
    return sum(waited.values()) >= _AT_ONCE * others * sum(computed.values())
