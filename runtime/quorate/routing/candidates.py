"""The local plans that a request could be answered with, resolved for the models as they are."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.errors import InvalidRequest, NotFound, QuorateError
from quorate.fleet.status import ModelState
from quorate.request import (
    CascadePlan,
    DecidedStage,
    NamedPlan,
    Plan,
    PlanKind,
    ProfilePlan,
    WeightedModel,
    plan_models,
)
from quorate.routing.forecast import vote_key
from quorate.routing.request import RoutingRequest
from quorate.routing.resolve import resolve
from quorate.routing.snapshot import ResolvedPlan, Snapshot

# The seed is the request's; whoever decides fills it in.
_NO_SEED = 0


def asked_plan(request: RoutingRequest, snapshot: Snapshot) -> ResolvedPlan | None:
    """The plan that a request names, or the default profile; None where the choice is open.

    Raises:
        NotFound: The profile is unknown.
    """
    asked = request.asked
    if isinstance(asked, Plan | CascadePlan):
        return _resolved(_plan_name(asked), asked, snapshot)
    if isinstance(asked, ProfilePlan):
        if asked.name not in snapshot.profiles:
            raise NotFound("profile", asked.name, snapshot.profiles)
        return profile_plan(asked.name, snapshot)
    if asked is None and snapshot.default_profile:
        return profile_plan(snapshot.default_profile, snapshot)
    return None


def open_plans(snapshot: Snapshot) -> tuple[ResolvedPlan, ...]:
    """Every local plan that the server may choose: each model, each profile, or all together.

    Where no profile says which models may vote together, all that share a vocabulary with the first
    ready one do. They are the same for every request, until a model changes its state.
    """
    allowed = snapshot.settings.candidates
    plans = [
        _resolved(f"single:{model}", Plan((WeightedModel(model),)), snapshot)
        for model in snapshot.models
        if not allowed or model in allowed
    ]
    plans += [
        profile_plan(profile, snapshot)
        for profile in snapshot.profiles
        if not allowed or profile in allowed
    ]
    if not snapshot.profiles and not allowed:
        plans += [_resolved(_plan_name(peers), peers, snapshot) for peers in _ready_peers(snapshot)]
    return tuple(plans)


def _ready_peers(snapshot: Snapshot) -> Iterator[Plan]:
    """Every ready model that can vote token by token with the first ready one, if there are any."""
    ready = [m for m in snapshot.models.values() if m.state is ModelState.READY]
    peers = [m for m in ready if m.vocabulary_fingerprint == ready[0].vocabulary_fingerprint]
    if len(peers) > 1:
        yield Plan(tuple(WeightedModel(model.id) for model in peers))


def profile_plan(name: str, snapshot: Snapshot) -> ResolvedPlan:
    """A profile that there is, resolved."""
    return _resolved(f"profile:{name}", snapshot.profiles[name], snapshot, name)


def _resolved(name: str, plan: NamedPlan, snapshot: Snapshot, profile: str = "") -> ResolvedPlan:
    kind = _kind(plan)
    models = plan_models(plan)
    try:
        stages = _stages(plan, snapshot, profile)
    except QuorateError as error:
        return ResolvedPlan(name, kind, models, profile=profile, error=error)
    early = isinstance(plan, CascadePlan) and plan.stream_early
    keys = tuple(vote_key(stage.decision) for stage in stages)
    return ResolvedPlan(name, kind, models, stages, keys, early, profile)


def _stages(plan: NamedPlan, snapshot: Snapshot, profile: str) -> tuple[DecidedStage, ...]:
    if isinstance(plan, Plan):
        return (DecidedStage(resolve(plan, snapshot, _NO_SEED, profile), 0.0),)
    if len(plan.stages) < 2:
        raise InvalidRequest("plan.cascade.stages", "has fewer than two stages; name another plan")
    default = snapshot.settings.confidence
    stages = []
    for index, stage in enumerate(plan.stages):
        asked = default if stage.confidence is None else stage.confidence
        if not 0 <= asked <= 1:
            raise InvalidRequest(
                f"plan.cascade.stages[{index}].confidence", f"is {asked}; give 0 to 1"
            )
        last = index == len(plan.stages) - 1
        try:
            decision = resolve(stage.plan, snapshot, _NO_SEED, profile)
        except InvalidRequest as error:
            path = error.field.removeprefix("plan.")
            raise InvalidRequest(f"plan.cascade.stages[{index}].{path}", error.problem) from error
        stages.append(DecidedStage(decision, 0.0 if last else asked))
    return tuple(stages)


def _kind(plan: NamedPlan) -> PlanKind:
    if isinstance(plan, CascadePlan):
        return PlanKind.CASCADE
    return PlanKind.SINGLE if len(plan.members) == 1 else PlanKind.ENSEMBLE


def _plan_name(plan: NamedPlan) -> str:
    kind = _kind(plan)
    if isinstance(plan, Plan):
        return f"{kind.value}:{'+'.join(member.model for member in plan.members)}"
    return f"{kind.value}:{'>'.join('+'.join(plan_models(stage.plan)) for stage in plan.stages)}"
