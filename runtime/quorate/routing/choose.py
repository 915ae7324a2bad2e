"""The plan that answers a request. Pure: the same inputs give the same plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quorate.errors import TemplateRefused, UnsupportedPlan
from quorate.request import (
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
from quorate.routing.assess import Assessed, assess_local, assess_remotes
from quorate.routing.candidates import asked_plans, open_plans
from quorate.routing.ranking import best, explored, nearest, readers, suitable
from quorate.routing.refusals import nothing_runs, own_error, refuse_by_policy
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import Snapshot
from quorate.routing.templates import makeshift, told

_NO_LOCAL_PLAN = Rejection(Clause.HEALTH, "there is no local plan to choose from")


def choose_plan(request: RoutingRequest, snapshot: Snapshot) -> Decision:
    """Chooses the plan for a request; every candidate that was considered is in its route.

    A plan that the request spells out runs, or is refused. A profile runs where it meets the
    request's limits. Else, and where the choice is open, the cheapest local plan that meets them
    runs. Where there is none, the cheapest remote that is allowed and affordable is asked. Where
    there is none either, the local plan that comes nearest runs, or the request is refused, as the
    policy says.

    A profile that the request names and that could never run raises its own error, since nobody
    should get something else for ever and not know it. One that is down for now gives way.

    Raises:
        NotFound: An unknown model or profile.
        InvalidRequest: A plan that can never run.
        TemplateRefused: A chat that the members of the plan, or of every plan, cannot read.
        ModelUnusable: No model that could answer is loaded.
        UnsupportedPlan: Members that cannot vote together in the way that was asked.
        Unavailable: What could answer is loading, restarting or unloading.
        OverBudget: Nothing meets the limits, and the policy is to refuse.
    """
    own = asked_plans(request, snapshot)
    asked = assess_local(own, request, snapshot)
    if request.explicit:
        return _explicit(asked[0], request, snapshot)
    fitting = next((one for one in asked if one.admissible), None)
    if fitting is not None:
        return _decide(fitting, asked, request, snapshot)
    if isinstance(request.asked, ProfilePlan):
        _refuse_what_never_runs(asked[0])
    every = open_plans(snapshot) if snapshot.plans is None else snapshot.plans
    known = {plan.name for plan in own}
    others = [plan for plan in every if plan.name not in known]
    return _open(assess_local([*own, *others], request, snapshot), len(own), request, snapshot)


def _explicit(assessed: Assessed, request: RoutingRequest, snapshot: Snapshot) -> Decision:
    error = own_error([assessed])
    if error is not None:
        raise error
    _refuse_what_never_runs(assessed)
    refuse_by_policy(assessed, [], snapshot)
    return _decide(assessed, [assessed], request, snapshot, assessed.first_rejection)


def _refuse_what_never_runs(assessed: Assessed) -> None:
    for one in assessed.candidate.rejections:
        if one.clause is Clause.TEMPLATE:
            raise TemplateRefused("chat", one.message)
        if one.clause is Clause.UNSUPPORTED:
            raise own_error([assessed]) or UnsupportedPlan(assessed.candidate.name, one.message)


def _open(
    local: Sequence[Assessed], asked: int, request: RoutingRequest, snapshot: Snapshot
) -> Decision:
    """Chooses where what was asked for, the first ``asked`` of the local plans, does not fit."""
    remotes = assess_remotes(request, snapshot)
    everyone = [*local, *remotes]
    fitting = suitable([one for one in local if one.admissible], request, snapshot)
    if fitting:
        reading = readers(fitting, request, snapshot)
        tried = explored(reading, request, snapshot)
        chosen = tried or best(reading, request)
        passed_over = set(map(id, fitting)) - set(map(id, reading))
        explained = [
            _reads_less(one, request, snapshot) if id(one) in passed_over else one
            for one in everyone
        ]
        return _decide(chosen, explained, request, snapshot, tried=tried is not None)
    runnable = [one for one in local if one.can_run]
    askable = [one for one in remotes if one.admissible]
    if askable:
        over = _over_budget(local[:asked], runnable, local)
        return _decide(best(askable, request), everyone, request, snapshot, over)
    if not runnable:
        raise own_error(local[:asked]) or nothing_runs(local, snapshot)
    least = nearest(suitable(runnable, request, snapshot))
    refuse_by_policy(least, remotes, snapshot)
    return _decide(least, everyone, request, snapshot, least.first_rejection)


def _over_budget(
    asked: Sequence[Assessed], runnable: Sequence[Assessed], local: Sequence[Assessed]
) -> Rejection | None:
    """What rules out the local plan that comes nearest; what was asked for goes first."""
    own = [one for one in asked if one.can_run]
    if own or runnable:
        return nearest(own or runnable).first_rejection
    return local[0].first_rejection if local else _NO_LOCAL_PLAN


def _decide(
    chosen: Assessed,
    considered: Sequence[Assessed],
    request: RoutingRequest,
    snapshot: Snapshot,
    over: Rejection | None = None,
    tried: bool = False,
) -> Decision:
    candidates = tuple(
        replace(one.candidate, chosen=True) if one is chosen else _explained(one, chosen)
        for one in considered
    )
    plan = chosen.plan
    route = Route(
        name=chosen.candidate.name,
        kind=chosen.candidate.kind,
        remote=chosen.remote,
        candidates=candidates,
        over_budget=over,
        explored=tried,
        task=request.task,
    )
    if plan is None:
        return told(replace(_nobody_votes(request), route=route), request, snapshot.models)
    if plan.kind is PlanKind.CASCADE:
        stages = tuple(
            replace(stage, decision=_seeded(stage.decision, request, snapshot))
            for stage in plan.stages
        )
        route = replace(route, stages=stages, stream_early=plan.stream_early)
    return replace(_seeded(plan.stages[0].decision, request, snapshot), route=route)


def _seeded(vote: Decision, request: RoutingRequest, snapshot: Snapshot) -> Decision:
    """A vote with what depends on the request: its seed, and how its members read the prompt."""
    return told(replace(vote, seed=request.seed), request, snapshot.models)


def _reads_less(one: Assessed, request: RoutingRequest, snapshot: Snapshot) -> Assessed:
    """A plan that was passed over for others, whose members read the chat as it was written."""
    why = (makeshift(snapshot.models[model], request) for model in one.candidate.models)
    against = tuple(Rejection(Clause.TEMPLATE, reason) for reason in why if reason)
    return replace(one, candidate=replace(one.candidate, rejections=against))


def _explained(one: Assessed, chosen: Assessed) -> Candidate:
    """Remotes that could be asked were not, since something on this machine is good enough."""
    if not one.remote or chosen.remote or not one.admissible:
        return one.candidate
    why = Rejection(Clause.WITHIN_BUDGET, "a local plan is within the budget")
    return replace(one.candidate, rejections=(why,))


def _nobody_votes(request: RoutingRequest) -> Decision:
    """The decision of a request that a remote answers."""
    return Decision(
        members=(),
        rule=CombinationRule.LINEAR,
        alignment=Alignment.SAME_VOCABULARY,
        weighting=Weighting.STATIC,
        on_failure=FailurePolicy.FAIL,
        context_tokens=0,
        seed=request.seed,
    )
