"""Plans with what is known of them: forecast, quality, cost, and everything against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.generation import Candidate, Forecast, PlanKind, Rejection
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
    that can run.
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
    weighed = []
    for option, forecast, against in zip(options, forecasts, rejections, strict=True):
        quality = _quality(option, wish, snapshot)
        cost = _cost(quality, forecast, metered, snapshot.settings)
        candidate = Candidate(
            option.name, option.kind, option.models, forecast, quality, cost, against
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
