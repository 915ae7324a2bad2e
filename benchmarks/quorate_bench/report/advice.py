"""Which plan for which budget. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate_bench.report.fronts import front
from quorate_bench.summary import Summary


@dataclass(frozen=True, slots=True)
class Advice:
    """The best plan within a limit.

    Attributes:
        limit: In ms per token.
        why: What speaks for it, in a few words.
    """

    limit: float
    summary: Summary
    why: str


def advice(base: Sequence[Summary]) -> list[Advice]:
    """For each time per token that is enough for another plan, the best plan that keeps it.

    Best is whoever answers most questions rightly where all were asked some, else who predicts text
    best. Plans without either, such as cascades without questions, are not among them.
    """
    answered = all(one.accuracy is not None for one in base)
    told = [(one, worth) for one in base if (worth := _badness(one, answered)) is not None]
    points = [(one.token_ms.value, worth) for one, worth in told]
    found = []
    for index in front(points):
        one, _ = told[index]
        why = (
            f"{one.accuracy:.0%} right" if answered
            else f"{one.bits_per_byte:.3f} bits per byte"
        )  # fmt: skip
        found.append(Advice(one.token_ms.high, one, why))
    return found


def _badness(one: Summary, answered: bool) -> float | None:
    if not answered:
        return one.bits_per_byte
    return None if one.accuracy is None else 1 - one.accuracy
