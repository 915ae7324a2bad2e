"""What is known of candidates: forecast, quality, cost, and everything that speaks against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.request import Candidate, Forecast, PlanKind, Rejection
from quorate.routing.forecast import forecast_local, forecast_remote
from quorate.routing.limits import CANNOT_RUN, local_rejections, remote_rejections
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import ResolvedPlan, Snapshot

# What a cascade is expected to lack against its last stage, for answers it keeps wrongly.
_CASCADE_SHORTFALL = 0.005


@dataclass(frozen=True, slots=True)
class Assessed:
    """A candidate, as it is told of, and the plan behind it, which runs where it is chosen.

    Attributes:
        candidate: With forecast, quality, cost and rejections for one request.
        plan: What runs; None for a remote.
    """

    candidate: Candidate
    plan: ResolvedPlan | None = None

    @property
    def remote(self) -> str:
        """Name of the remote that would answer, or ""."""
        return self.candidate.models[0] if self.candidate.kind is PlanKind.REMOTE else ""

    @property
    def admissible(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.candidate.rejections

    @property
    def can_run(self) -> bool:
        """Whether it would run, were its limits overlooked."""
        return _can_run(self.candidate.rejections)

    @property
    def first_rejection(self) -> Rejection | None:
        """The gravest reason against it."""
        rejections = self.candidate.rejections
        return rejections[0] if rejections else None


def assess_local(
    plans: Sequence[ResolvedPlan], request: RoutingRequest, snapshot: Snapshot
) -> list[Assessed]:
    """Assesses local plans.

    What they cost has the same basis for all of them: energy counts where it is known of every plan
    that can run, and where qualities were measured, a plan that cannot be told from the best one is
    taken to be as good.
    """
    votes: dict[str, Forecast] = {}
    forecasts = [forecast_local(plan, request, snapshot, votes) for plan in plans]
    rejections = [
        local_rejections(plan, forecast, request, snapshot)
        for plan, forecast in zip(plans, forecasts, strict=True)
    ]
    metered = all(
        forecast.joules is not None
        for forecast, against in zip(forecasts, rejections, strict=True)
        if _can_run(against)
    )
    qualities = [_quality(plan, request, snapshot) for plan in plans]
    taken = _told_apart(plans, qualities, rejections, request, snapshot)
    assessed = []
    for index, plan in enumerate(plans):
        forecast, against = forecasts[index], rejections[index]
        cost = _cost(taken[index], forecast, metered, snapshot.settings)
        candidate = Candidate(
            plan.name, plan.kind, plan.models, forecast, qualities[index], cost, against
        )
        assessed.append(Assessed(candidate, plan))
    return assessed


def assess_remotes(request: RoutingRequest, snapshot: Snapshot) -> list[Assessed]:
    """Assesses every remote that may be asked at all; where nothing may leave, there are none."""
    if request.local_only or snapshot.settings.local_only:
        return []
    assessed = []
    for remote in snapshot.remotes.values():
        name = f"remote:{remote.name}"
        forecast = forecast_remote(remote, request, snapshot)
        against = remote_rejections(name, remote, forecast, request, snapshot)
        cost = _cost(remote.quality, forecast, False, snapshot.settings)
        candidate = Candidate(
            name, PlanKind.REMOTE, (remote.name,), forecast, remote.quality, cost, against
        )
        assessed.append(Assessed(candidate))
    return assessed


def _can_run(rejections: Sequence[Rejection]) -> bool:
    return not any(one.clause in CANNOT_RUN for one in rejections)


def _quality(plan: ResolvedPlan, request: RoutingRequest, snapshot: Snapshot) -> float | None:
    if not plan.stages:
        return None
    members = plan.members or plan.stages[-1].decision.members
    models = [member.model for member in members]
    quality = snapshot.quality.expected(plan.key, models, request.task)
    return quality - _CASCADE_SHORTFALL if plan.kind is PlanKind.CASCADE else quality


def _told_apart(
    plans: Sequence[ResolvedPlan],
    qualities: Sequence[float | None],
    rejections: Sequence[Sequence[Rejection]],
    request: RoutingRequest,
    snapshot: Snapshot,
) -> list[float | None]:
    """The quality that each plan is taken to have.

    Where both were measured, a plan is raised towards the best one that can run by a standard error
    of their difference: else one that answered a single question more would be taken at any price.
    """
    errors = [
        snapshot.quality.error(plan.key, request.task) if plan.key else None for plan in plans
    ]
    runnable = [
        (quality, error)
        for quality, error, against in zip(qualities, errors, rejections, strict=True)
        if quality is not None and _can_run(against)
    ]
    highest, its_error = max(runnable, key=lambda one: one[0], default=(0.0, None))
    return [
        min(highest, quality + math.hypot(error, its_error))
        if quality is not None and error is not None and its_error is not None and quality < highest
        else quality
        for quality, error in zip(qualities, errors, strict=True)
    ]


def _cost(
    quality: float | None, forecast: Forecast, metered: bool, settings: RoutingSettings
) -> float | None:
    """What the choice minimises; see ``RoutingSettings``."""
    if quality is None:
        return None
    cost = settings.quality_weight * (1.0 - quality)
    if metered and forecast.joules is not None:
        cost += settings.joule_weight * forecast.joules
    if forecast.usd is not None:
        cost += settings.usd_weight * forecast.usd
    return cost
