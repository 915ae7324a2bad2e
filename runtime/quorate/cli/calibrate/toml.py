"""Profiles for ``quorate.toml`` from what a calibration suggests. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from quorate.cli.calibrate.plans import AskedPlan
from quorate.cli.calibrate.report import Cascade, Weights
from quorate.v1 import plan_pb2

WEIGHTS_PROFILE = "calibrated"
CASCADE_PROFILE = "calibrated-cascade"

_ENUMS = {
    "rule": (plan_pb2.CombinationRule, "COMBINATION_RULE_"),
    "alignment": (plan_pb2.Alignment, "ALIGNMENT_"),
    "weighting": (plan_pb2.Weighting, "WEIGHTING_"),
}


def weights_profile(suggested: Weights, number: int) -> str:
    """A vote with the suggested weights.

    Args:
        suggested: The weights.
        number: Of the suggestion, from 1 on, so that each has a name of its own.
    """
    name = WEIGHTS_PROFILE if number == 1 else f"{WEIGHTS_PROFILE}-{number}"
    lines = [_members(suggested.weights), *_manner(suggested.vote.decision)]
    return "\n".join([f"[profiles.{name}]", *lines])


def cascade_profile(cascade: Cascade) -> str:
    """A cascade with the suggested threshold."""
    # Rounded down, so that no answer that was kept is sent on.
    confidence = math.floor(cascade.advice.confidence * 1e4) / 1e4
    first = ", ".join([*_vote(cascade.first), f"confidence = {confidence}"])
    last = ", ".join(_vote(cascade.last))
    stages = [f"  {{ {first} }},", f"  {{ {last} }},"]
    return "\n".join([f"[profiles.{CASCADE_PROFILE}]", "stages = [", *stages, "]"])


def _vote(plan: AskedPlan) -> list[str]:
    decision = plan.decision
    if len(decision.members) == 1:
        return [f"members = [{_text(decision.members[0].model)}]"]
    weights = {member.model: member.weight for member in decision.members}
    return [_members(weights), *_manner(decision)]


def _members(weights: Mapping[str, float]) -> str:
    members = [
        f"{{ model = {_text(model)}, weight = {weight:.4f} }}" for model, weight in weights.items()
    ]
    return f"members = [{', '.join(members)}]"


def _manner(decision: plan_pb2.Decision) -> list[str]:
    lines = []
    for name, (kind, prefix) in _ENUMS.items():
        value = kind.Name(getattr(decision, name)).removeprefix(prefix).lower()
        lines.append(f"{name} = {_text(value)}")
    if decision.HasField("forgetting"):
        lines.append(f"forgetting = {decision.forgetting}")
    if decision.beam.HasField("epsilon"):
        lines.append(f"beam_epsilon = {decision.beam.epsilon}")
    if decision.beam.HasField("width"):
        lines.append(f"beam_width = {decision.beam.width}")
    return lines


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
