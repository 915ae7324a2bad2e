"""The local plans that a request could be answered with, resolved for the models as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from quorate.errors import InvalidRequest, NotFound, QuorateError
from quorate.fleet.status import ModelState, ModelStatus, why_not_ready
from quorate.request import (
    AnswersPlan,
    CascadePlan,
    DecidedStage,
    NamedPlan,
    Plan,
    PlanKind,
    ProfilePlan,
    WeightedModel,
    plan_models,
)
from quorate.routing.answers import decide_answers
from quorate.routing.forecast import vote_key
from quorate.routing.request import RoutingRequest
from quorate.routing.resolve import require_somebody, resolve, vote_by_token
from quorate.routing.snapshot import ResolvedPlan, Snapshot

# The seed is the request's; whoever decides fills it in.
_NO_SEED = 0


def asked_plan(request: RoutingRequest, snapshot: Snapshot) -> ResolvedPlan | None:
    """The plan that a request names, or the default profile; None where the choice is open.

    Raises:
        NotFound: The profile is unknown.
    """
    asked = request.asked
    if isinstance(asked, Plan | CascadePlan | AnswersPlan):
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

    A plan with a member that was lost is none to choose, although one that is named would run.
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
    return tuple(_if_whole(plan, snapshot) for plan in plans)


def _if_whole(plan: ResolvedPlan, snapshot: Snapshot) -> ResolvedPlan:
    """The plan, with an error where it could run but not with all of its members."""
    if plan.error is not None:
        return plan
    members = (member for stage in plan.stages for member in stage.decision.members)
    statuses = (snapshot.models[member.model] for member in members)
    lost = next((status for status in statuses if status.state is not ModelState.READY), None)
    return plan if lost is None else replace(plan, stages=(), keys=(), error=why_not_ready(lost))


def _ready_peers(snapshot: Snapshot) -> Iterator[Plan]:
    """Every ready model that can vote token by token with the first ready one, if there are any.

    Nearness does not carry over from one to the next: each must be near to all before it.
    """
    ready = [m for m in snapshot.models.values() if m.state is ModelState.READY]
    peers: list[ModelStatus] = []
    for model in ready:
        if all(vote_by_token(model, peer) for peer in peers):
            peers.append(model)
    if len(peers) > 1:
        yield Plan(tuple(WeightedModel(model.id) for model in peers))


def profile_plan(name: str, snapshot: Snapshot) -> ResolvedPlan:
    """A profile that there is, resolved."""
    return _resolved(f"profile:{name}", snapshot.profiles[name], snapshot, name)


def _resolved(name: str, plan: NamedPlan, snapshot: Snapshot, profile: str = "") -> ResolvedPlan:
    kind = _kind(plan)
    models = plan_models(plan)
    whole = ResolvedPlan(name, kind, models, profile=profile)
    try:
        if isinstance(plan, AnswersPlan):
            members, answers = decide_answers(plan, snapshot, profile)
            stages = tuple(DecidedStage(vote, 0.0) for vote in answers.votes)
            _require_a_stage(stages, snapshot)
            whole = replace(whole, answers=answers, members=members)
        else:
            stages = _stages(plan, snapshot, profile)
    except QuorateError as error:
        return replace(whole, error=error)
    early = not isinstance(plan, Plan) and plan.stream_early
    keys = tuple(vote_key(stage.decision) for stage in stages)
    return replace(whole, stages=stages, keys=keys, stream_early=early)


def _stages(plan: Plan | CascadePlan, snapshot: Snapshot, profile: str) -> tuple[DecidedStage, ...]:
    if isinstance(plan, Plan):
        decision = resolve(plan, snapshot, _NO_SEED, profile)
        require_somebody(decision.members, decision.on_failure, snapshot)
        return (DecidedStage(decision, 0.0),)
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
    _require_a_stage(stages, snapshot)
    return tuple(stages)


def _require_a_stage(stages: Sequence[DecidedStage], snapshot: Snapshot) -> None:
    """Checks that some stage can answer: one that cannot gives way to the next."""
    errors: list[QuorateError] = []
    for stage in stages:
        try:
            require_somebody(stage.decision.members, stage.decision.on_failure, snapshot)
        except QuorateError as error:
            errors.append(error)
    if len(errors) == len(stages):
        raise errors[-1]


def _kind(plan: NamedPlan) -> PlanKind:
    if isinstance(plan, CascadePlan):
        return PlanKind.CASCADE
    if isinstance(plan, AnswersPlan):
        return PlanKind.ANSWERS
    return PlanKind.SINGLE if len(plan.members) == 1 else PlanKind.ENSEMBLE


def _plan_name(plan: NamedPlan) -> str:
    kind = _kind(plan)
    if not isinstance(plan, CascadePlan):
        name = f"{kind.value}:{'+'.join(member.model for member in plan.members)}"
        # What one answer of each takes says little of what several do, or of scoring them.
        manner = (plan.samples, plan.select.value) if isinstance(plan, AnswersPlan) else ()
        return ":".join([name, *map(str, manner)])
    return f"{kind.value}:{'>'.join('+'.join(plan_models(stage.plan)) for stage in plan.stages)}"
