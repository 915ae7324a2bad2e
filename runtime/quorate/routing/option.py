"""A local plan that a request could be answered with."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.errors import QuorateError
from quorate.request import DecidedStage, PlanKind


@dataclass(frozen=True, slots=True)
class Option:
    """A local plan under a name.

    Attributes:
        name: Such as ``single:a`` or ``profile:pair``.
        models: Every model of every stage, once.
        stages: One vote, or those of a cascade, with a seed of 0; none where it cannot run.
        keys: Key of each stage's vote, see ``forecast.vote_key``.
        profile: Name of the profile it came from, or "".
        error: Why it cannot run.
    """

    name: str
    kind: PlanKind
    models: tuple[str, ...]
    stages: tuple[DecidedStage, ...] = ()
    keys: tuple[str, ...] = ()
    stream_early: bool = False
    profile: str = ""
    error: QuorateError | None = None
