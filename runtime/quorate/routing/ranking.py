"""Which of several plans is the best, and which comes nearest where none is good enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate.request import Clause
from quorate.routing.assess import Assessed
from quorate.routing.limits import nearness
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Snapshot
from quorate.routing.templates import makeshift

# What a plan that was never measured may lack in expected quality to be tried all the same.
_EXPLORED_SHORTFALL = 0.1


def suitable(
    assessed: Sequence[Assessed], request: RoutingRequest, snapshot: Snapshot
) -> list[Assessed]:
    """Leaves out plans made for other tasks, as long as there are others."""
    general = [
        one
        for one in assessed
        if not all(
            snapshot.quality.is_outsider(model, request.task) for model in one.candidate.models
        )
    ]
    return general or list(assessed)


def readers(
    assessed: Sequence[Assessed], request: RoutingRequest, snapshot: Snapshot
) -> list[Assessed]:
    """Leaves out plans whose members read a chat otherwise than written, as long as others do not.

    Such a member has no chat template, or none with a place for the system message.
    """
    faithful = [
        one
        for one in assessed
        if not any(makeshift(snapshot.models[model], request) for model in one.candidate.models)
    ]
    return faithful or list(assessed)


def explored(
    assessed: Sequence[Assessed], request: RoutingRequest, snapshot: Snapshot
) -> Assessed | None:
    """A local plan to be tried in order to learn what it takes, or None where the best shall run.

    Only one that was never measured and may be nearly as good as the others is tried, and never
    where the time is limited.
    """
    if request.budget.latency_ms is not None or request.draw >= snapshot.settings.exploration:
        return None
    enough = max((_quality(one) for one in assessed), default=0.0) - _EXPLORED_SHORTFALL
    unknown = (one for one in assessed if one.candidate.forecast.cold and _quality(one) >= enough)
    return next(unknown, None)


def best(assessed: Sequence[Assessed], request: RoutingRequest) -> Assessed:
    """The one that costs least; of equals the fastest, and then the first.

    With a deadline, what was never measured comes after what is known to meet it.
    """
    tight = request.budget.latency_ms is not None

    def rank(one: Assessed) -> tuple[bool, float, float]:
        forecast = one.candidate.forecast
        return tight and forecast.cold, _cost(one), _time(one)

    return min(assessed, key=rank)


def nearest(assessed: Sequence[Assessed]) -> Assessed:
    """The one that misses its limits by least; what the prompt does not fit into comes last."""

    def rank(one: Assessed) -> tuple[bool, float, float]:
        clauses = [rejection.clause for rejection in one.candidate.rejections]
        return Clause.CONTEXT in clauses, nearness(one.candidate), _cost(one)

    return min(assessed, key=rank)


def _cost(one: Assessed) -> float:
    return math.inf if one.candidate.cost is None else one.candidate.cost


def _time(one: Assessed) -> float:
    time_ms = one.candidate.forecast.time_ms
    return math.inf if time_ms is None else time_ms


def _quality(one: Assessed) -> float:
    return one.candidate.quality or 0.0
