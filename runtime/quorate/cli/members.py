"""Members of a vote, and stages of a cascade, as they are named on the command line.

A model is named by its registry id or by a path; a server is asked for it by its id there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate.client import PlanOptions, StageChoice
from quorate.errors import SettingsError
from quorate.files import default_id
from quorate.request import DraftMode, Plan, Stage, WeightedModel

_CASCADE = "--cascade"


def parse_member(text: str, option: str = "--model") -> WeightedModel:
    """Reads ``NAME`` or ``NAME:WEIGHT``; what follows the last colon is a weight if it is a number.

    Messages name the ``option`` that it was given with.

    Raises:
        SettingsError: No name, or a weight that is negative or not finite.
    """
    name, colon, suffix = text.rpartition(":")
    weight = _number(suffix) if colon else None
    if weight is None:
        name = text
    elif not math.isfinite(weight) or weight < 0:
        raise SettingsError(
            f"{option} {text}: the weight must be finite and not negative, not {suffix}"
        )
    if not name:
        raise SettingsError(f"{option} {text!r}: names no model")
    return WeightedModel(name, weight)


def parse_members(texts: Sequence[str], option: str = "--model") -> tuple[WeightedModel, ...]:
    """Reads all members of a vote, as ``parse_member`` does.

    Raises:
        SettingsError: One is wrong, two are the same, or all weights are 0.
    """
    members = tuple(parse_member(text, option) for text in texts)
    names = [member.model for member in members]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{option} {name}: is named twice; give it one weight instead")
    if members and all(member.weight == 0 for member in members):
        raise SettingsError(f"{option}: all weights are 0; raise at least one")
    return members


def parse_stage(text: str) -> Stage:
    """Reads ``NAME[:WEIGHT][,NAME[:WEIGHT]...][@CONFIDENCE]``.

    What follows the last @ is a confidence if it is a number, so that a name may have one too.

    Raises:
        SettingsError: No name, a wrong weight, or a confidence outside [0, 1].
    """
    names, at, suffix = text.rpartition("@")
    confidence = _number(suffix) if at else None
    if confidence is None or not math.isfinite(confidence):
        names, confidence = text, None
    elif not 0 <= confidence <= 1:
        raise SettingsError(f"{_CASCADE} {text}: the confidence must be from 0 to 1, not {suffix}")
    return Stage(Plan(parse_members(names.split(","), _CASCADE)), confidence)


def parse_stages(texts: Sequence[str]) -> tuple[Stage, ...]:
    """Reads all stages of a command, in rising cost.

    Raises:
        SettingsError: One is wrong, there is only one, or the last one has a confidence.
    """
    stages = tuple(map(parse_stage, texts))
    if len(stages) == 1:
        raise SettingsError(f"{_CASCADE} {texts[0]}: one stage is no cascade; give at least two")
    if stages and stages[-1].confidence is not None:
        raise SettingsError(
            f"{_CASCADE} {texts[-1]}: the last stage's answer is always kept; leave its "
            "confidence out"
        )
    return stages


def name_members(options: PlanOptions, members: Sequence[WeightedModel]) -> None:
    """Adds the members to a plan; one member without details is a plan of its own kind."""
    if not members:
        return
    drafts = options.get("drafts")
    if drafts is not None and drafts not in {mode.value for mode in DraftMode}:
        options["drafts"] = default_id(drafts)
    leader = options.get("gate_leader")
    if leader is not None:
        options["gate_leader"] = default_id(leader)
    details = (
        "rule",
        "alignment",
        "weighting",
        "forgetting",
        "beam_epsilon",
        "beam_width",
        "drafts",
        "drafts_most",
        "gate_leader",
        "gate_threshold",
        "gate_share",
    )
    if len(members) == 1 and all(options.get(name) is None for name in details):
        options["model"] = default_id(members[0].model)
        return
    options["models"] = {default_id(member.model): member.weight for member in members}


def name_answers(options: PlanOptions, members: Sequence[WeightedModel]) -> None:
    """Adds members whose whole answers vote to a plan, by the ids that a server gives them."""
    options["answers"] = {default_id(member.model): member.weight for member in members}


def name_stages(options: PlanOptions, stages: Sequence[Stage]) -> None:
    """Adds the stages of a cascade to a plan, each model by the id that a server gives it."""
    if stages:
        options["stages"] = [_choice(stage) for stage in stages]


def _choice(stage: Stage) -> StageChoice:
    if len(stage.plan.members) == 1:
        return default_id(stage.plan.members[0].model), stage.confidence
    models = {default_id(member.model): member.weight for member in stage.plan.members}
    return models, stage.confidence


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
