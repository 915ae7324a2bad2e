"""Profiles for ``quorate.toml`` from what a calibration suggests. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from quorate.calibration.answers import CalibratedPlan
from quorate.calibration.report import Cascade, Weights
from quorate.request import Plan

WEIGHTS_PROFILE = "calibrated"
CASCADE_PROFILE = "calibrated-cascade"


def weights_profile(suggested: Weights, number: int) -> str:
    """A vote with the suggested weights; numbered from 1 on, each has a name of its own."""
    name = WEIGHTS_PROFILE if number == 1 else f"{WEIGHTS_PROFILE}-{number}"
    lines = [_members(dict(suggested.weights)), *_manner(suggested.vote.plan)]
    return "\n".join([f"[profiles.{name}]", *lines])


def cascade_profile(cascade: Cascade) -> str:
    """A cascade with the suggested threshold."""
    # Rounded down, so that no answer that was kept is sent on.
    confidence = math.floor(cascade.advice.confidence * 1e4) / 1e4
    first = ", ".join([*_vote(cascade.first), f"confidence = {confidence}"])
    last = ", ".join(_vote(cascade.last))
    stages = [f"  {{ {first} }},", f"  {{ {last} }},"]
    return "\n".join([f"[profiles.{CASCADE_PROFILE}]", "stages = [", *stages, "]"])


def _vote(calibrated: CalibratedPlan) -> list[str]:
    plan = calibrated.plan
    if len(plan.members) == 1:
        return [f"members = [{_text(plan.members[0].model)}]"]
    weights = {member.model: member.weight for member in plan.members}
    return [_members(weights), *_manner(plan)]


def _members(weights: Mapping[str, float | None]) -> str:
    return f"members = [{', '.join(_member(*one) for one in weights.items())}]"


def _member(model: str, weight: float | None) -> str:
    share = "" if weight is None else f", weight = {weight:.4f}"
    return f"{{ model = {_text(model)}{share} }}"


def _manner(plan: Plan) -> list[str]:
    lines = [
        f"{name} = {_text(choice.value)}"
        for name, choice in (
            ("rule", plan.rule),
            ("alignment", plan.alignment),
            ("weighting", plan.weighting),
        )
    ]
    numbers = {
        "forgetting": plan.forgetting,
        "beam_epsilon": plan.beam.epsilon,
        "beam_width": plan.beam.width,
        "gate_threshold": plan.gate.threshold,
        "gate_share": plan.gate.share,
    }
    if plan.gate.leader is not None:
        lines.append(f"gate_leader = {_text(plan.gate.leader)}")
    return lines + [f"{name} = {value}" for name, value in numbers.items() if value is not None]


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
