"""Stages of a cascade as they are named on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quorate.cli.members import Member, parse_members
from quorate.errors import SettingsError

if TYPE_CHECKING:
    from quorate.client import StageChoice

_OPTION = "--cascade"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: one model, or several that vote.

    Attributes:
        confidence: Its answer is kept from this confidence on, or None for the server's default.
    """

    members: tuple[Member, ...]
    confidence: float | None = None


def parse_stage(text: str) -> Stage:
    """Reads ``NAME[:WEIGHT][,NAME[:WEIGHT]...][@CONFIDENCE]``.

    What follows the last @ is a confidence if it is a number, so that a name may have one too.

    Raises:
        SettingsError: No name, a wrong weight, or a confidence outside [0, 1].
    """
    names, at, suffix = text.rpartition("@")
    confidence = _number(suffix) if at else None
    if confidence is None:
        names = text
    elif not 0 <= confidence <= 1:
        raise SettingsError(f"{_OPTION} {text}: the confidence must be from 0 to 1, not {suffix}")
    return Stage(parse_members(names.split(","), _OPTION), confidence)


def parse_stages(texts: Sequence[str]) -> tuple[Stage, ...]:
    """Reads all stages of a command, in rising cost.

    Raises:
        SettingsError: One is wrong, there is only one, or the last one has a confidence.
    """
    stages = tuple(map(parse_stage, texts))
    if len(stages) == 1:
        raise SettingsError(f"{_OPTION} {texts[0]}: one stage is no cascade; give at least two")
    if stages and stages[-1].confidence is not None:
        raise SettingsError(
            f"{_OPTION} {texts[-1]}: the last stage's answer is always kept; leave its "
            "confidence out"
        )
    return stages


def stage_choices(stages: Sequence[Stage]) -> list[StageChoice]:
    """The stages as the client takes them, each model by the id that a server gives it."""
    return [_choice(stage) for stage in stages]


def _choice(stage: Stage) -> StageChoice:
    from quorate.settings import default_id

    if len(stage.members) == 1:
        return default_id(stage.members[0].name), stage.confidence
    models = {default_id(member.name): member.weight for member in stage.members}
    return models, stage.confidence


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
