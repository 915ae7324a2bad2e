"""Plans with what is known of them: forecast, quality, cost, and everything against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.request import Candidate, Forecast, PlanKind, Rejection
from quorate.routing.forecast import forecast_local
from quorate.routing.limits import CANNOT_RUN, local_rejections, remote_rejections
from quorate.routing.option import Option
from quorate.routing.remote_forecast import forecast_remote
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import Snapshot
from quorate.routing.wish import Wish

# What a cascade is expected to lack against its last stage, for answers it keeps wrongly.
_CASCADE_SHORTFALL = 0.005


@dataclass(frozen=True, slots=True)
class Weighed:
    """A plan with what is known of it; ``option`` is None for a remote."""

    candidate: Candidate
    option: Option | None = None
    remote: str = ""

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


def weigh_local(options: Sequence[Option], wish: Wish, snapshot: Snapshot) -> list[Weighed]:
    """Weighs local plans.

    What they cost has the same basis for all of them: energy counts where it is known of every plan
    that can run, and where qualities were measured, a plan that cannot be told from the best one is
    taken to be as good.
    """
    votes: dict[str, Forecast] = {}
    forecasts = [forecast_local(option, wish, snapshot, votes) for option in options]
    rejections = [
        local_rejections(option, forecast, wish, snapshot)
        for option, forecast in zip(options, forecasts, strict=True)
    ]
    metered = all(
        forecast.joules is not None
        for forecast, against in zip(forecasts, rejections, strict=True)
        if _can_run(against)
    )
    qualities = [_quality(option, wish, snapshot) for option in options]
    taken = _told_apart(options, qualities, rejections, wish, snapshot)
    weighed = []
    for index, option in enumerate(options):
        forecast, against = forecasts[index], rejections[index]
        cost = _cost(taken[index], forecast, metered, snapshot.settings)
        candidate = Candidate(
            option.name, option.kind, option.models, forecast, qualities[index], cost, against
        )
        weighed.append(Weighed(candidate, option))
    return weighed


def weigh_remotes(wish: Wish, snapshot: Snapshot) -> list[Weighed]:
    """Weighs every remote that may be asked at all; where nothing may leave, there are none."""
    if wish.local_only or snapshot.settings.local_only:
        return []
    weighed = []
    for remote in snapshot.remotes.values():
        name = f"remote:{remote.name}"
        forecast = forecast_remote(remote, wish, snapshot)
        against = remote_rejections(name, remote, forecast, wish, snapshot)
        cost = _cost(remote.quality, forecast, False, snapshot.settings)
        candidate = Candidate(
            name, PlanKind.REMOTE, (remote.name,), forecast, remote.quality, cost, against
        )
        weighed.append(Weighed(candidate, remote=remote.name))
    return weighed


def _can_run(rejections: Sequence[Rejection]) -> bool:
    return not any(one.clause in CANNOT_RUN for one in rejections)


def _quality(option: Option, wish: Wish, snapshot: Snapshot) -> float | None:
    if not option.stages:
        return None
    models = [member.model for member in option.stages[-1].decision.members]
    quality = snapshot.quality.expected(option.keys[-1], models, wish.task)
    return quality - _CASCADE_SHORTFALL if option.kind is PlanKind.CASCADE else quality


def _told_apart(
    options: Sequence[Option],
    qualities: Sequence[float | None],
    rejections: Sequence[Sequence[Rejection]],
    wish: Wish,
    snapshot: Snapshot,
) -> list[float | None]:
    """The quality that each plan is taken to have.

    Where both were measured, a plan is raised towards the best one that can run by a standard error
    of their difference: else one that answered a single question more would be taken at any price.
    """
    errors = [
        snapshot.quality.error(option.keys[-1], wish.task) if option.keys else None
        for option in options
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
