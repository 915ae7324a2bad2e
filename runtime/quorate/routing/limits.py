"""What speaks against a plan: the clauses of "over budget", and what cannot run at all."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.amounts import duration_text, joules_text, usd_text
from quorate.errors import ModelUnusable, Unavailable
from quorate.request import (
    Alignment,
    Candidate,
    Clause,
    DecidedStage,
    Forecast,
    PlanKind,
    Rejection,
)
from quorate.routing.request import RoutingRequest
from quorate.routing.snapshot import RemoteStatus, ResolvedPlan, Snapshot
from quorate.routing.templates import objection

CANNOT_RUN = frozenset({Clause.HEALTH, Clause.UNSUPPORTED, Clause.FAILED_BEFORE, Clause.TEMPLATE})
"""What no policy can overlook: a plan with one of these would only fail."""

# How far a guess of a prompt's tokens by its bytes may be off before anything is ruled out.
_CERTAINLY_TOO_LONG = 1.5


def local_rejections(
    plan: ResolvedPlan, forecast: Forecast, request: RoutingRequest, snapshot: Snapshot
) -> tuple[Rejection, ...]:
    """Everything that speaks against a local plan, the gravest first."""
    return (
        *_cannot_run(plan, request, snapshot),
        *_no_capacity(plan, forecast, snapshot),
        *_over_limits(forecast, request, snapshot),
    )


def remote_rejections(
    name: str, remote: RemoteStatus, forecast: Forecast, request: RoutingRequest, snapshot: Snapshot
) -> tuple[Rejection, ...]:
    """Everything that speaks against a remote, the gravest first."""
    return (
        *_cannot_ask(name, remote, request),
        *_too_long(forecast, remote.context_length),
        *_too_dear(forecast, request, snapshot),
        *_too_slow(forecast, request),
    )


def nearness(candidate: Candidate) -> float:
    """By how much a plan misses its limits, as the sum of what is over, relative to each limit."""
    return sum(
        rejection.predicted / rejection.limit - 1.0
        if rejection.predicted is not None and rejection.limit
        else 1.0
        for rejection in candidate.rejections
    )


def _cannot_run(
    plan: ResolvedPlan, request: RoutingRequest, snapshot: Snapshot
) -> Iterator[Rejection]:
    if plan.name in request.failed:
        yield Rejection(Clause.FAILED_BEFORE, f"{plan.name} failed for this request before")
    if plan.error is not None:
        down = isinstance(plan.error, Unavailable | ModelUnusable)
        yield Rejection(Clause.HEALTH if down else Clause.UNSUPPORTED, plan.error.message)
    if request.one_vote and plan.kind is PlanKind.CASCADE:
        yield Rejection(Clause.UNSUPPORTED, "a cascade cannot score a text; name one of its stages")
    if request.one_vote and plan.kind is PlanKind.ANSWERS:
        problem = "a vote of whole answers cannot score a text; name its members as an ensemble"
        yield Rejection(Clause.UNSUPPORTED, problem)
    if request.constrained and any(_votes_on_pieces(stage) for stage in plan.stages):
        problem = "its members vote on a few candidates, which a constraint may rule out altogether"
        yield Rejection(Clause.UNSUPPORTED, f"{problem}; choose another alignment")
    for model in plan.models:
        if model in snapshot.wedged:
            yield Rejection(Clause.HEALTH, f"{model} makes no progress")
    yield from _untakable(plan, request, snapshot)


def _votes_on_pieces(stage: DecidedStage) -> bool:
    return stage.decision.alignment is Alignment.UNION_TOP_K


def _untakable(
    plan: ResolvedPlan, request: RoutingRequest, snapshot: Snapshot
) -> Iterator[Rejection]:
    """What the chat templates of its members speak against, those of later stages among them."""
    members = (member.model for stage in plan.stages for member in stage.decision.members)
    for model in dict.fromkeys(members):
        status = snapshot.models[model]
        if why := objection(status, request):
            yield Rejection(Clause.TEMPLATE if status.chat else Clause.UNSUPPORTED, why)


def _no_capacity(plan: ResolvedPlan, forecast: Forecast, snapshot: Snapshot) -> Iterator[Rejection]:
    queue = snapshot.queue
    if queue.full:
        yield Rejection(
            Clause.CAPACITY,
            f"{queue.running} requests run and {queue.waiting} wait, which is the limit",
            float(queue.waiting + 1),
            float(queue.max_waiting),
        )
    if plan.stages:
        holds = min(stage.decision.context_tokens for stage in plan.stages)
        yield from _too_long(forecast, holds)


def _too_long(forecast: Forecast, holds: int) -> Iterator[Rejection]:
    """A context of 0 is not known."""
    if holds and forecast.prompt_tokens > _CERTAINLY_TOO_LONG * holds:
        yield Rejection(
            Clause.CONTEXT,
            f"the prompt has some {forecast.prompt_tokens:.0f} tokens and the context {holds}",
            forecast.prompt_tokens,
            float(holds),
        )


def _over_limits(
    forecast: Forecast, request: RoutingRequest, snapshot: Snapshot
) -> Iterator[Rejection]:
    """What was never measured is not over a limit: it is found out by running it."""
    yield from _too_slow(forecast, request)
    joules, cap, left = forecast.joules, request.budget.energy_joules, snapshot.remaining.joules
    if joules is not None and cap is not None and joules > cap:
        yield Rejection(
            Clause.ENERGY,
            f"it would take {joules_text(joules)} of {joules_text(cap)} allowed",
            joules,
            cap,
        )
    likely = forecast.joules_q90
    if left is not None and left <= 0:
        yield Rejection(Clause.ENERGY_WINDOW, "the window's joules are spent", likely, left)
    elif likely is not None and left is not None and likely > left:
        yield Rejection(
            Clause.ENERGY_WINDOW,
            f"it may take {joules_text(likely)}, and {joules_text(left)} are left of the window",
            likely,
            left,
        )


def _too_slow(forecast: Forecast, request: RoutingRequest) -> Iterator[Rejection]:
    likely, limit = forecast.time_q90_ms, request.budget.latency_ms
    if likely is None or limit is None or likely + request.elapsed_ms <= limit:
        return
    tokens = forecast.limited_by_tokens
    because = f", because up to {tokens} tokens are allowed" if tokens is not None else ""
    yield Rejection(
        Clause.LATENCY,
        f"nine answers of ten take up to {duration_text(likely + request.elapsed_ms)} of "
        f"{duration_text(limit)} allowed{because}",
        likely + request.elapsed_ms,
        limit,
    )


def _cannot_ask(name: str, remote: RemoteStatus, request: RoutingRequest) -> Iterator[Rejection]:
    if name in request.failed:
        yield Rejection(Clause.FAILED_BEFORE, f"{name} failed for this request before")
    if remote.unavailable:
        yield Rejection(Clause.HEALTH, remote.unavailable)
    lacks = request.unsupported.get(remote.name, ())
    if lacks:
        yield Rejection(Clause.UNSUPPORTED, f"it has no {', '.join(lacks)}")
    if remote.tasks and request.task not in remote.tasks:
        yield Rejection(Clause.TASK, f"it is for {', '.join(remote.tasks)} only")
    if remote.price is None:
        yield Rejection(Clause.PRICE_UNKNOWN, "nobody knows what it charges")


def _too_dear(
    forecast: Forecast, request: RoutingRequest, snapshot: Snapshot
) -> Iterator[Rejection]:
    ceiling, cap, left = forecast.usd_ceiling, request.budget.usd, snapshot.remaining.usd
    if ceiling is None:
        return
    if cap is not None and ceiling > cap:
        yield Rejection(
            Clause.USD, f"it may cost {usd_text(ceiling)} of {usd_text(cap)} allowed", ceiling, cap
        )
    if left is not None and ceiling > left:
        yield Rejection(
            Clause.USD_WINDOW,
            f"it may cost {usd_text(ceiling)}, and {usd_text(left)} are left of the window",
            ceiling,
            left,
        )
