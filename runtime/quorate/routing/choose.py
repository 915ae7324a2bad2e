"""The plan that answers a request. Pure: the same inputs give the same plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from quorate.engines.status import ModelState
from quorate.errors import ModelUnusable, OverBudget, Unavailable
from quorate.generation import (
    Alignment,
    Candidate,
    Clause,
    CombinationRule,
    Decision,
    FailurePolicy,
    PlanKind,
    ProfilePlan,
    Rejection,
    Route,
    Weighting,
)
from quorate.routing.forecast import forecast_local, forecast_remote, vote_key
from quorate.routing.limits import CANNOT_RUN, local_rejections, nearness, remote_rejections
from quorate.routing.options import Option, asked_options, open_options
from quorate.routing.snapshot import Snapshot
from quorate.routing.wish import Wish

# What a plan that was never measured may lack in expected quality to be tried all the same.
_EXPLORED_SHORTFALL = 0.1
# What a cascade is expected to lack against its last stage, for answers it keeps wrongly.
_CASCADE_SHORTFALL = 0.005


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A plan with what is known of it; ``option`` is None for a remote."""

    candidate: Candidate
    option: Option | None = None
    remote: str = ""

    @property
    def admissible(self) -> bool:
        return not self.candidate.rejections

    @property
    def can_run(self) -> bool:
        return not any(one.clause in CANNOT_RUN for one in self.candidate.rejections)


def choose_plan(wish: Wish, snapshot: Snapshot) -> Decision:
    """Chooses the plan for a request.

    A plan that the request spells out runs, or is refused. A profile runs where it meets the
    request's limits. Else, and where the choice is open, the cheapest local plan that meets them
    runs. Where there is none, the cheapest remote that is allowed and affordable is asked. Where
    there is none either, the local plan that comes nearest runs, or the request is refused, as the
    policy says.

    Args:
        wish: The request.
        snapshot: The state of the service.

    Returns:
        The decision, with every candidate that was considered in its route.

    Raises:
        NotFound: An unknown model or profile.
        InvalidRequest: A plan that can never run.
        ModelUnusable: No model that could answer is loaded.
        UnsupportedPlan: Members that cannot vote together in the way that was asked.
        Unavailable: What could answer is loading, restarting or unloading.
        OverBudget: Nothing meets the limits, and the policy is to refuse.
    """
    asked = [_weigh(option, wish, snapshot) for option in asked_options(wish, snapshot)]
    if wish.explicit:
        return _explicit(asked[0], wish, snapshot)
    fitting = next((one for one in asked if one.admissible), None)
    if fitting is not None:
        return _decide(fitting, asked, wish, None)
    known = {one.candidate.name for one in asked}
    others = [
        _weigh(option, wish, snapshot)
        for option in open_options(wish, snapshot)
        if option.name not in known
    ]
    return _open(asked, others, wish, snapshot)


def _explicit(weighed: _Weighed, wish: Wish, snapshot: Snapshot) -> Decision:
    assert weighed.option is not None
    if weighed.option.error is not None:
        raise weighed.option.error
    over = _first(weighed.candidate)
    if over is not None and over.clause is not Clause.CAPACITY:
        _refuse_by_policy(over, [weighed], snapshot)
    return _decide(weighed, [weighed], wish, over)


def _open(
    asked: Sequence[_Weighed], others: Sequence[_Weighed], wish: Wish, snapshot: Snapshot
) -> Decision:
    """Chooses where the plan that was asked for, if any, does not fit."""
    named = isinstance(wish.asked, ProfilePlan)
    local = [*asked, *others]
    remotes = _remotes(wish, snapshot)
    everyone = [*local, *remotes]
    askable = [one for one in remotes if one.admissible]
    suitable = _suitable([one for one in others if one.admissible], wish, snapshot)
    if suitable and not (named and _is_broken(asked) and not askable):
        chosen, explored = _best(suitable, wish, snapshot)
        return _decide(chosen, everyone, wish, None, explored)
    runnable = [one for one in local if one.can_run]
    over = _over_budget(asked or local, runnable)
    if askable:
        return _decide(_best(askable, wish, snapshot)[0], everyone, wish, over)
    if asked and not asked[0].can_run:
        _raise_error(asked)
    if not runnable:
        _raise_nothing_ready(local, snapshot)
    if over is not None and over.clause is not Clause.CAPACITY:
        _refuse_by_policy(over, everyone, snapshot)
    nearest = asked[0] if asked else _nearest(_suitable(runnable, wish, snapshot))
    return _decide(nearest, everyone, wish, _first(nearest.candidate))


def _weigh(option: Option, wish: Wish, snapshot: Snapshot) -> _Weighed:
    forecast = forecast_local(option, wish, snapshot)
    rejections = local_rejections(option, forecast, wish, snapshot)
    candidate = Candidate(
        option.name,
        option.kind,
        option.models,
        forecast,
        _quality(option, wish, snapshot),
        rejections=rejections,
    )
    return _Weighed(_priced(candidate, snapshot), option)


def _remotes(wish: Wish, snapshot: Snapshot) -> list[_Weighed]:
    """Every remote that may be asked at all; where nothing may leave, there are none."""
    if wish.local_only or snapshot.settings.local_only:
        return []
    weighed = []
    for remote in snapshot.remotes.values():
        name = f"remote:{remote.name}"
        forecast = forecast_remote(remote, wish, snapshot)
        candidate = Candidate(
            name,
            PlanKind.REMOTE,
            (remote.name,),
            forecast,
            remote.quality,
            rejections=remote_rejections(name, remote, forecast, wish, snapshot),
        )
        weighed.append(_Weighed(_priced(candidate, snapshot), remote=remote.name))
    return weighed


def _quality(option: Option, wish: Wish, snapshot: Snapshot) -> float | None:
    if not option.stages:
        return None
    last = option.stages[-1].decision
    models = [member.model for member in last.members]
    quality = snapshot.quality.expected(vote_key(last), models, wish.task)
    return quality - _CASCADE_SHORTFALL if option.kind is PlanKind.CASCADE else quality


def _priced(candidate: Candidate, snapshot: Snapshot) -> Candidate:
    """Adds what the choice minimises; see ``RoutingSettings``."""
    if candidate.quality is None:
        return candidate
    settings, forecast = snapshot.settings, candidate.forecast
    cost = (
        settings.quality_weight * (1.0 - candidate.quality)
        + settings.joule_weight * (forecast.joules or 0.0)
        + settings.usd_weight * (forecast.usd or 0.0)
    )
    return replace(candidate, cost=cost)


def _suitable(weighed: Sequence[_Weighed], wish: Wish, snapshot: Snapshot) -> list[_Weighed]:
    """Leaves out plans made for other tasks, as long as there are others."""
    general = [
        one
        for one in weighed
        if not all(snapshot.quality.is_outsider(model, wish.task) for model in one.candidate.models)
    ]
    return general or list(weighed)


def _best(weighed: Sequence[_Weighed], wish: Wish, snapshot: Snapshot) -> tuple[_Weighed, bool]:
    """The one that costs least, and whether it was taken to learn what it costs."""
    local = [one for one in weighed if one.option is not None]
    tight = wish.budget.latency_ms is not None
    if local and not tight and wish.draw < snapshot.settings.exploration:
        enough = max(one.candidate.quality or 0.0 for one in local) - _EXPLORED_SHORTFALL
        unknown = [
            one
            for one in local
            if one.candidate.forecast.cold and (one.candidate.quality or 0.0) >= enough
        ]
        if unknown:
            return unknown[0], True
    comparable = _comparable_cost(weighed, snapshot)

    def rank(one: _Weighed) -> tuple[bool, float, float]:
        # With a deadline, what was never measured comes after what is known to meet it.
        time = one.candidate.forecast.time_ms
        cold = tight and one.candidate.forecast.cold
        return cold, comparable(one.candidate), math.inf if time is None else time

    return min(weighed, key=rank), False


def _comparable_cost(
    weighed: Sequence[_Weighed], snapshot: Snapshot
) -> Callable[[Candidate], float]:
    """Costs on the same basis: energy counts where it is known of every local plan."""
    settings = snapshot.settings
    local = [one.candidate for one in weighed if one.option is not None]
    metered = all(candidate.forecast.joules is not None for candidate in local)

    def cost(candidate: Candidate) -> float:
        total = candidate.cost if candidate.cost is not None else math.inf
        if metered or candidate.forecast.joules is None:
            return total
        return total - settings.joule_weight * candidate.forecast.joules

    return cost


def _over_budget(preferred: Sequence[_Weighed], runnable: Sequence[_Weighed]) -> Rejection | None:
    """The clause that rules out the local plan that comes nearest."""
    if not runnable:
        return next((_first(one.candidate) for one in preferred if _first(one.candidate)), None)
    own = [one for one in preferred if one.can_run]
    return _first(_nearest(own or list(runnable)).candidate)


def _nearest(weighed: Sequence[_Weighed]) -> _Weighed:
    return min(weighed, key=lambda one: (nearness(one.candidate), one.candidate.cost or 0.0))


def _first(candidate: Candidate) -> Rejection | None:
    return candidate.rejections[0] if candidate.rejections else None


def _is_broken(asked: Sequence[_Weighed]) -> bool:
    return any(not one.can_run for one in asked)


def _refuse_by_policy(over: Rejection, considered: Sequence[_Weighed], snapshot: Snapshot) -> None:
    if snapshot.settings.policy != "reject":
        return
    remotes = [one.candidate for one in considered if one.remote]
    why = "; ".join(f"{one.name}: {one.rejections[0].message}" for one in remotes)
    raise OverBudget(
        f"no plan meets the budget: {over.message}" + (f"; {why}" if why else ""),
        clause=over.clause.value,
    )


def _raise_error(asked: Sequence[_Weighed]) -> None:
    for one in asked:
        if one.option is not None and one.option.error is not None:
            raise one.option.error


def _raise_nothing_ready(local: Sequence[_Weighed], snapshot: Snapshot) -> None:
    soon = [
        model.id
        for model in snapshot.models.values()
        if model.state not in (ModelState.READY, ModelState.UNLOADED, ModelState.FAILED)
    ]
    if soon:
        raise Unavailable(f"no model is ready yet; {', '.join(soon)} may be soon", 2.0)
    if any(model.state is ModelState.READY for model in snapshot.models.values()):
        raise Unavailable("no plan can run now: " + _reasons(local))
    raise ModelUnusable("plan", "no model is loaded; name one in the configuration or load one")


def _reasons(local: Sequence[_Weighed]) -> str:
    return "; ".join(one.candidate.rejections[0].message for one in local[:4])


def _decide(
    chosen: _Weighed,
    considered: Sequence[_Weighed],
    wish: Wish,
    over: Rejection | None,
    explored: bool = False,
) -> Decision:
    candidates = tuple(
        replace(one.candidate, chosen=True) if one is chosen else _explained(one, chosen)
        for one in considered
    )
    option = chosen.option
    route = Route(
        name=chosen.candidate.name,
        kind=chosen.candidate.kind,
        remote=chosen.remote,
        candidates=candidates,
        over_budget=over,
        explored=explored,
        task=wish.task,
    )
    if option is None:
        return replace(_nobody_votes(wish), route=route)
    if option.kind is PlanKind.CASCADE:
        route = replace(route, stages=option.stages, stream_early=option.stream_early)
    return replace(option.stages[0].decision, route=route)


def _explained(one: _Weighed, chosen: _Weighed) -> Candidate:
    """Remotes that could be asked were not, since something on this machine is good enough."""
    if not one.remote or chosen.remote or not one.admissible:
        return one.candidate
    why = Rejection(Clause.WITHIN_BUDGET, "a local plan is within the budget")
    return replace(one.candidate, rejections=(why,))


def _nobody_votes(wish: Wish) -> Decision:
    """The decision of a request that a remote answers."""
    return Decision(
        members=(),
        rule=CombinationRule.LINEAR,
        alignment=Alignment.SAME_VOCABULARY,
        weighting=Weighting.STATIC,
        on_failure=FailurePolicy.FAIL,
        context_tokens=0,
        seed=wish.seed,
    )
