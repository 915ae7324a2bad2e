"""A decision as protobuf. Pure."""

from __future__ import annotations

from quorate.api.grpc.translation.answers import COMPARISONS, SELECTIONS
from quorate.api.grpc.translation.enums import by_name
from quorate.foreign_text import one_line
from quorate.request import (
    Alignment,
    Candidate,
    Clause,
    CombinationRule,
    DecidedAnswers,
    DecidedDraft,
    Decision,
    FailurePolicy,
    InputForm,
    PlanKind,
    Rejection,
    Route,
    Weighting,
)
from quorate.v1 import plan_pb2

RULES = by_name(CombinationRule, plan_pb2.CombinationRule)
ALIGNMENTS = by_name(Alignment, plan_pb2.Alignment)
KINDS = by_name(PlanKind, plan_pb2.PlanKind)
CLAUSES = by_name(Clause, plan_pb2.Clause)
INPUT_FORMS = by_name(InputForm, plan_pb2.InputForm)
# A decision's weighting is never open.
WEIGHTINGS = by_name(Weighting, plan_pb2.Weighting, but=Weighting.AUTO)
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
    if decision.draft != DecidedDraft():
        target.draft.model = decision.draft.model
        target.draft.most = decision.draft.most
        target.draft.problem = one_line(decision.draft.problem)
        target.draft.member_first = decision.draft.member_first
    if decision.gate is not None:
        target.gate.leader = decision.gate.leader
        target.gate.threshold = decision.gate.threshold
        if decision.gate.share is not None:
            target.gate.share = decision.gate.share
    target.input_form = INPUT_FORMS[decision.input_form]
    target.text_members.extend(decision.text_members)
    target.system_moved.extend(decision.system_moved)
    _fill_route(target, decision.route)


def _fill_route(target: plan_pb2.Decision, route: Route) -> None:
    target.kind = KINDS[route.kind]
    target.remote = route.remote
    target.explored = route.explored
    target.task = route.task
    target.stream_early = route.stream_early
    target.instead_of = route.instead_of
    for stage in route.stages:
        fill_decision(target.stages.add(confidence=stage.confidence).decision, stage.decision)
    if route.answers is not None:
        _fill_answers(target.answers, route.answers)
    target.candidates.extend(map(_candidate, route.candidates))
    if route.over_budget is not None:
        target.over_budget.CopyFrom(_rejection(route.over_budget))


def _fill_answers(target: plan_pb2.DecidedAnswers, answers: DecidedAnswers) -> None:
    for vote in answers.votes:
        fill_decision(target.votes.add(), vote)
    target.samples = answers.samples
    target.select = SELECTIONS[answers.select]
    target.compare = COMPARISONS[answers.compare]
    target.weighting = WEIGHTINGS[answers.weighting]
    if answers.judge is not None:
        fill_decision(target.judge, answers.judge)


def _candidate(candidate: Candidate) -> plan_pb2.Candidate:
    """What is None is left unset."""
    forecast = candidate.forecast
    return plan_pb2.Candidate(
        name=candidate.name,
        kind=KINDS[candidate.kind],
        models=candidate.models,
        cold=forecast.cold,
        chosen=candidate.chosen,
        time_ms=forecast.time_ms,
        time_q90_ms=forecast.time_q90_ms,
        joules=forecast.joules,
        joules_q90=forecast.joules_q90,
        usd=forecast.usd,
        usd_ceiling=forecast.usd_ceiling,
        quality=candidate.quality,
        cost=candidate.cost,
        limited_by_tokens=forecast.limited_by_tokens,
        rejections=map(_rejection, candidate.rejections),
    )


def _rejection(rejection: Rejection) -> plan_pb2.Rejection:
    return plan_pb2.Rejection(
        clause=CLAUSES[rejection.clause],
        message=one_line(rejection.message),
        predicted=rejection.predicted,
        limit=rejection.limit,
    )
