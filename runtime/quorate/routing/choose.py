"""The plan that answers a request. Pure: the same inputs give the same plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quorate.errors import UnsupportedPlan
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
from quorate.routing.options import asked_options, open_options
from quorate.routing.ranking import best, explored, nearest, suitable
from quorate.routing.refusals import nothing_runs, own_error, refuse_by_policy
from quorate.routing.snapshot import Snapshot
from quorate.routing.weighing import Weighed, weigh_local, weigh_remotes
from quorate.routing.wish import Wish

_NO_LOCAL_PLAN = Rejection(Clause.HEALTH, "there is no local plan to choose from")


def choose_plan(wish: Wish, snapshot: Snapshot) -> Decision:
    """Chooses the plan for a request.

    A plan that the request spells out runs, or is refused. A profile runs where it meets the
    request's limits. Else, and where the choice is open, the cheapest local plan that meets them
    runs. Where there is none, the cheapest remote that is allowed and affordable is asked. Where
    there is none either, the local plan that comes nearest runs, or the request is refused, as the
    policy says.

    A profile that the request names and that could never run raises its own error, since nobody
    should get something else for ever and not know it. One that is down for now gives way.

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
    own = asked_options(wish, snapshot)
    asked = weigh_local(own, wish, snapshot)
    if wish.explicit:
        return _explicit(asked[0], wish, snapshot)
    fitting = next((one for one in asked if one.admissible), None)
    if fitting is not None:
        return _decide(fitting, asked, wish)
    if isinstance(wish.asked, ProfilePlan):
        _refuse_what_never_runs(asked[0])
    every = open_options(snapshot) if snapshot.options is None else snapshot.options
    known = {option.name for option in own}
    others = [option for option in every if option.name not in known]
    return _open(weigh_local([*own, *others], wish, snapshot), len(own), wish, snapshot)


def _explicit(weighed: Weighed, wish: Wish, snapshot: Snapshot) -> Decision:
    error = own_error([weighed])
    if error is not None:
        raise error
    _refuse_what_never_runs(weighed)
    refuse_by_policy(weighed, [], snapshot)
    return _decide(weighed, [weighed], wish, weighed.first_rejection)


def _refuse_what_never_runs(weighed: Weighed) -> None:
    for one in weighed.candidate.rejections:
        if one.clause is Clause.UNSUPPORTED:
            raise own_error([weighed]) or UnsupportedPlan(weighed.candidate.name, one.message)


def _open(local: Sequence[Weighed], asked: int, wish: Wish, snapshot: Snapshot) -> Decision:
    """Chooses where the plan that was asked for, if any, does not fit.

    Args:
        local: Every local plan.
        asked: How many of them, from the first on, the request asks for.
        wish: The request.
        snapshot: The state of the service.
    """
    remotes = weigh_remotes(wish, snapshot)
    everyone = [*local, *remotes]
    fitting = suitable([one for one in local if one.admissible], wish, snapshot)
    if fitting:
        tried = explored(fitting, wish, snapshot)
        chosen = tried or best(fitting, wish)
        return _decide(chosen, everyone, wish, tried=tried is not None)
    runnable = [one for one in local if one.can_run]
    askable = [one for one in remotes if one.admissible]
    if askable:
        over = _over_budget(local[:asked], runnable, local)
        return _decide(best(askable, wish), everyone, wish, over)
    if not runnable:
        raise own_error(local[:asked]) or nothing_runs(local, snapshot)
    least = nearest(suitable(runnable, wish, snapshot))
    refuse_by_policy(least, remotes, snapshot)
    return _decide(least, everyone, wish, least.first_rejection)


def _over_budget(
    asked: Sequence[Weighed], runnable: Sequence[Weighed], local: Sequence[Weighed]
) -> Rejection | None:
    """What rules out the local plan that comes nearest; what was asked for goes first."""
    own = [one for one in asked if one.can_run]
    if own or runnable:
        return nearest(own or runnable).first_rejection
    return local[0].first_rejection if local else _NO_LOCAL_PLAN


def _decide(
    chosen: Weighed,
    considered: Sequence[Weighed],
    wish: Wish,
    over: Rejection | None = None,
    tried: bool = False,
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
        explored=tried,
        task=wish.task,
    )
    if option is None:
        return replace(_nobody_votes(wish), route=route)
    if option.kind is PlanKind.CASCADE:
        stages = tuple(
            replace(stage, decision=replace(stage.decision, seed=wish.seed))
            for stage in option.stages
        )
        route = replace(route, stages=stages, stream_early=option.stream_early)
    return replace(option.stages[0].decision, seed=wish.seed, route=route)


def _explained(one: Weighed, chosen: Weighed) -> Candidate:
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
