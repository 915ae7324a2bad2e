"""Who goes on alone in a gated vote, and how sure it must be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quorate.errors import InvalidRequest, refuse_all
from quorate.foreign_text import quoted
from quorate.request import DecidedGate, GateOptions, WeightedModel, Weighting

DEFAULT_THRESHOLD = 0.5
"""Least margin with which a leader goes on alone, where nobody says other."""


def gate_problems(asked: GateOptions, members: Sequence[str]) -> Iterator[InvalidRequest]:
    """What is wrong with the options of a gate, whatever the models are."""
    path = "plan.ensemble.gate"
    for name, value in (("threshold", asked.threshold), ("share", asked.share)):
        if value is not None and not 0 <= value <= 1:
            yield InvalidRequest(f"{path}.{name}", f"is {value}; give 0 to 1")
    if asked.leader and asked.leader not in members:
        problem = f"names {quoted(asked.leader)}, which is no member, or weighs nothing; name one"
        yield InvalidRequest(f"{path}.leader", problem)


def decide_gate(
    asked: GateOptions, weighting: Weighting, members: Sequence[WeightedModel]
) -> DecidedGate | None:
    """Fills in what was left open; None where all members are asked at every step.

    Raises:
        InvalidRequest: A leader that is no member, or a number out of range.
    """
    refuse_all(gate_problems(asked, [member.model for member in members]))
    if weighting is not Weighting.GATED or len(members) < 2:
        return None
    heaviest = max(members, key=lambda member: member.weight or 0.0)
    threshold = DEFAULT_THRESHOLD if asked.threshold is None else asked.threshold
    return DecidedGate(asked.leader or heaviest.model, threshold, asked.share or None)
