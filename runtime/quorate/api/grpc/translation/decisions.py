"""A decision as protobuf. Pure."""

from __future__ import annotations

from typing import Any

from quorate.api.grpc.translation.enums import by_name
from quorate.request import (
    Alignment,
    Candidate,
    Clause,
    CombinationRule,
    Decision,
    FailurePolicy,
    PlanKind,
    Rejection,
    Route,
    Weighting,
)
from quorate.v1 import plan_pb2

RULES = by_name(CombinationRule, "COMBINATION_RULE", plan_pb2.CombinationRule)
ALIGNMENTS = by_name(Alignment, "ALIGNMENT", plan_pb2.Alignment)
KINDS = by_name(PlanKind, "PLAN_KIND", plan_pb2.PlanKind)
CLAUSES = by_name(Clause, "CLAUSE", plan_pb2.Clause)
# A decision's weighting is never open.
WEIGHTINGS: dict[Weighting, Any] = {
    weighting: plan_pb2.Weighting.Value(f"WEIGHTING_{weighting.name}")
    for weighting in Weighting
    if weighting is not Weighting.AUTO
}
FAILURE_POLICIES = {
    FailurePolicy.AUTO: plan_pb2.FAILURE_POLICY_UNSPECIFIED,
    FailurePolicy.CONTINUE: plan_pb2.FAILURE_POLICY_CONTINUE,
    FailurePolicy.REPLAY: plan_pb2.FAILURE_POLICY_REPLAY,
    FailurePolicy.FAIL: plan_pb2.FAILURE_POLICY_FAIL,
}


def fill_decision(target: plan_pb2.Decision, decision: Decision) -> None:
    """Writes the plan that runs."""
    for member in decision.members:
        target.members.add(model=member.model, weight=member.weight)
    target.rule = RULES[decision.rule]
    target.alignment = ALIGNMENTS[decision.alignment]
    target.weighting = WEIGHTINGS[decision.weighting]
    target.failure_policy = FAILURE_POLICIES[decision.on_failure]
    target.context_tokens = decision.context_tokens
    target.seed = decision.seed
    target.profile = decision.profile
    if decision.forgetting is not None:
        target.forgetting = decision.forgetting
    if decision.beam.epsilon is not None and decision.beam.width is not None:
        target.beam.epsilon = decision.beam.epsilon
        target.beam.width = decision.beam.width
    _fill_route(target, decision.route)


def _fill_route(target: plan_pb2.Decision, route: Route) -> None:
    target.kind = KINDS[route.kind]
    target.remote = route.remote
    target.explored = route.explored
    target.task = route.task
    target.stream_early = route.stream_early
    for stage in route.stages:
        shown = target.stages.add(confidence=stage.confidence)
        fill_decision(shown.decision, stage.decision)
    for candidate in route.candidates:
        _fill_candidate(target.candidates.add(), candidate)
    if route.over_budget is not None:
        _fill_rejection(target.over_budget, route.over_budget)


def _fill_candidate(target: plan_pb2.Candidate, candidate: Candidate) -> None:
    target.name = candidate.name
    target.kind = KINDS[candidate.kind]
    target.models.extend(candidate.models)
    target.cold = candidate.forecast.cold
    target.chosen = candidate.chosen
    forecast = candidate.forecast
    known = {
        "time_ms": forecast.time_ms,
        "time_q90_ms": forecast.time_q90_ms,
        "joules": forecast.joules,
        "joules_q90": forecast.joules_q90,
        "usd": forecast.usd,
        "usd_ceiling": forecast.usd_ceiling,
        "quality": candidate.quality,
        "cost": candidate.cost,
    }
    for name, value in known.items():
        if value is not None:
            setattr(target, name, value)
    for rejection in candidate.rejections:
        _fill_rejection(target.rejections.add(), rejection)


def _fill_rejection(target: plan_pb2.Rejection, rejection: Rejection) -> None:
    target.clause = CLAUSES[rejection.clause]
    target.message = rejection.message
    if rejection.predicted is not None:
        target.predicted = rejection.predicted
    if rejection.limit is not None:
        target.limit = rejection.limit
