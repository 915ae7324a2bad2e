"""The plan that answers a request. Pure: the same inputs give the same plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quorate.errors import OverBudget, TemplateRefused, UnsupportedPlan
from quorate.request import (
    Alignment,
    Candidate,
    Clause,
    CombinationRule,
    DecidedAnswers,
    Decision,
    FailurePolicy,
    PlanKind,
    Rejection,
    Route,
    Weighting,
)
from quorate.routing.assess import Assessed, assess_local, assess_remotes
from quorate.routing.candidates import asked_plan, open_plans
from quorate.routing.drafting import draw_from_members
from quorate.routing.ranking import best, explored, nearest, readers, suitable
from quorate.routing.refusals import nothing_runs, own_error, refuse_by_policy
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import ResolvedPlan, Snapshot
from quorate.routing.templates import makeshift, told

_NO_LOCAL_PLAN = Rejection(Clause.HEALTH, "there is no local plan to choose from")


def choose_plan(request: RoutingRequest, snapshot: Snapshot) -> Decision:
    """Chooses the plan for a request; every candidate that was considered is in its route.

    A plan that is named, spelled out, by its profile or as the default profile, runs or is refused.
    What a request limits is a matter of the policy: it runs all the same, or is refused. Another
    plan answers only by leave of the request or else of the configuration, and the route says so:
    the cheapest local plan that meets the limits, else the cheapest remote that is allowed and
    affordable. Where neither is there, the named plan runs as without leave, or where it cannot,
    the local plan that comes nearest.

    Where the choice is open, all plans are treated alike: the cheapest local plan that meets the
    limits runs, else the cheapest remote, else the local plan that comes nearest, or the request is
    refused, as the policy says.

    Raises:
        NotFound: An unknown model or profile.
        InvalidRequest: A plan that can never run.
        TemplateRefused: A chat that the members of the named plan, or of every plan, cannot read.
        ModelUnusable: A named plan has a member that failed or is not loaded, or no model that
            could answer is loaded.
        UnsupportedPlan: Members that cannot vote together in the way that was asked.
        Unavailable: What could answer is loading, restarting or unloading.
        OverBudget: Nothing meets the limits, and the policy is to refuse.
        BudgetSpent: Only a remote could answer, and a window has no room for it.
    """
    plan = asked_plan(request, snapshot)
    leave = plan is None or _may_substitute(request, snapshot)
    if plan is None:
        local = assess_local(_every(snapshot), request, snapshot)
        decision = _choose(local, None, request, snapshot)
    else:
        decision = _named(plan, leave, request, snapshot)
    decision = replace(decision, route=replace(decision.route, replaceable=leave))
    return draw_from_members(decision) if request.from_mixture else decision


def _may_substitute(request: RoutingRequest, snapshot: Snapshot) -> bool:
    """Whether another plan may answer than the one that is named."""
    if request.allow_substitution is None:
        return snapshot.settings.allow_substitution
    return request.allow_substitution


def _named(
    plan: ResolvedPlan, leave: bool, request: RoutingRequest, snapshot: Snapshot
) -> Decision:
    [named] = assess_local([plan], request, snapshot)
    _refuse_what_never_runs(named)
    if named.admissible:
        return _decide(named, [named], request, snapshot)
    if not leave:
        return _run_or_refuse(named, [named], request, snapshot)
    # The same models under another name would do no better.
    same = plan.kind, plan.models
    others = [one for one in _every(snapshot) if (one.kind, one.models) != same]
    # Anew with the others, so that what they cost has one basis.
    local = assess_local([plan, *others], request, snapshot)
    return _choose(local, local[0], request, snapshot)


def _every(snapshot: Snapshot) -> Sequence[ResolvedPlan]:
    return open_plans(snapshot) if snapshot.plans is None else snapshot.plans


def _refuse_what_never_runs(assessed: Assessed) -> None:
    """Such a plan is a mistake that nobody should get something else for, for ever."""
    for one in assessed.candidate.rejections:
        if one.clause is Clause.UNSUPPORTED:
            raise own_error(assessed) or UnsupportedPlan(assessed.candidate.name, one.message)


def _run_or_refuse(
    named: Assessed, considered: Sequence[Assessed], request: RoutingRequest, snapshot: Snapshot
) -> Decision:
    """The decision that the named plan runs, whatever it exceeds."""
    error = own_error(named)
    if error is not None:
        raise error
    for one in named.candidate.rejections:
        if one.clause is Clause.TEMPLATE:
            raise TemplateRefused("chat", one.message)
    refuse_by_policy(named, [one for one in considered if one.remote], snapshot)
    return _decide(named, considered, request, snapshot, over=named.first_rejection)


def _choose(
    local: Sequence[Assessed],
    named: Assessed | None,
    request: RoutingRequest,
    snapshot: Snapshot,
) -> Decision:
    """Chooses among all plans. ``named`` is the one of them that is not admissible, if one is."""
    remotes = assess_remotes(request, snapshot)
    everyone = [*local, *remotes]
    fitting = suitable([one for one in local if one.admissible], request, snapshot)
    if fitting:
        reading = readers(fitting, request, snapshot)
        tried = explored(reading, request, snapshot) if named is None else None
        chosen = tried or best(reading, request)
        passed_over = set(map(id, fitting)) - set(map(id, reading))
        explained = [
            _reads_less(one, request, snapshot) if id(one) in passed_over else one
            for one in everyone
        ]
        return _decide(chosen, explained, request, snapshot, named, tried=tried is not None)
    runnable = [one for one in local if one.can_run]
    askable = [one for one in remotes if one.admissible]
    if askable:
        over = _over_budget(named, runnable, local)
        return _decide(best(askable, request), everyone, request, snapshot, named, over)
    untried = named is not None and named.candidate.name not in request.failed
    if named is not None and untried and (named.can_run or not runnable):
        return _run_or_refuse(named, everyone, request, snapshot)
    if not runnable:
        raise nothing_runs(local, remotes, request, snapshot)
    least = nearest(suitable(runnable, request, snapshot))
    try:
        refuse_by_policy(least, remotes, snapshot)
    except OverBudget:
        if named is None or not untried or own_error(named) is not None:
            raise
        # Leave to run another plan takes nothing away from the one that was named.
        return _run_or_refuse(named, everyone, request, snapshot)
    return _decide(least, everyone, request, snapshot, named, least.first_rejection)


def _over_budget(
    named: Assessed | None, runnable: Sequence[Assessed], local: Sequence[Assessed]
) -> Rejection | None:
    """What rules out the named plan, or else the local one that comes nearest."""
    if named is not None:
        return named.first_rejection
    if runnable:
        return nearest(runnable).first_rejection
    return local[0].first_rejection if local else _NO_LOCAL_PLAN


def _decide(
    chosen: Assessed,
    considered: Sequence[Assessed],
    request: RoutingRequest,
    snapshot: Snapshot,
    named: Assessed | None = None,
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
        instead_of="" if named is None or named is chosen else named.candidate.name,
    )
    if plan is None:
        return told(replace(_nobody_votes(request), route=route), request, snapshot.models)
    if plan.kind is PlanKind.CASCADE:
        stages = tuple(
            replace(stage, decision=_seeded(stage.decision, request, snapshot))
            for stage in plan.stages
        )
        route = replace(route, stages=stages, stream_early=plan.stream_early)
    first = plan.stages[0].decision
    if plan.answers is not None:
        answers = _seeded_answers(plan.answers, request, snapshot)
        route = replace(route, answers=answers, stream_early=plan.stream_early)
        holds = min(vote.context_tokens for vote in answers.votes)
        first = replace(first, members=plan.members, context_tokens=holds)
    return replace(_seeded(first, request, snapshot), route=route)


def _seeded(vote: Decision, request: RoutingRequest, snapshot: Snapshot) -> Decision:
    """A vote with what depends on the request: its seed, and how its members read the prompt."""
    return told(replace(vote, seed=request.seed), request, snapshot.models)


def _seeded_answers(
    answers: DecidedAnswers, request: RoutingRequest, snapshot: Snapshot
) -> DecidedAnswers:
    votes = tuple(_seeded(vote, request, snapshot) for vote in answers.votes)
    judge = answers.judge and _seeded(answers.judge, request, snapshot)
    return replace(answers, votes=votes, judge=judge)


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
