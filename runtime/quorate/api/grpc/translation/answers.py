"""Votes of whole answers: their plans, what was decided of them, and what came of it. Pure."""

from __future__ import annotations

from quorate.api.grpc.translation.enums import by_name, by_number, known_value
from quorate.errors import Violations
from quorate.request import (
    AnswersPlan,
    Comparison,
    FailurePolicy,
    Outcome,
    Selection,
    WeightedModel,
    Weighting,
)
from quorate.routing.answers import answers_problems
from quorate.v1 import inference_pb2, plan_pb2

SELECTIONS = by_name(Selection, plan_pb2.Selection)
COMPARISONS = by_name(Comparison, plan_pb2.Comparison)
# It is never open.
WEIGHTINGS = by_name(Weighting, plan_pb2.Weighting, but=Weighting.AUTO)
_SELECTION_OF = by_number(Selection, plan_pb2.Selection, Selection.MAJORITY)
_COMPARISON_OF = by_number(Comparison, plan_pb2.Comparison, Comparison.EXACT)
_WEIGHTING_OF = by_number(Weighting, plan_pb2.Weighting, Weighting.STATIC)


def answers_plan(
    message: plan_pb2.AnswersPlan, on_failure: FailurePolicy, told: Violations
) -> AnswersPlan:
    """A plan as its caller wrote it; what can never be served is told to ``told``."""
    path = "plan.answers"
    select = told.check(
        lambda: known_value(_SELECTION_OF, message.select, f"{path}.select", plan_pb2.Selection),
        Selection.MAJORITY,
    )
    compare = told.check(
        lambda: known_value(
            _COMPARISON_OF, message.compare, f"{path}.compare", plan_pb2.Comparison
        ),
        Comparison.EXACT,
    )
    weighting = told.check(
        lambda: known_value(
            _WEIGHTING_OF, message.weighting, f"{path}.weighting", plan_pb2.Weighting
        ),
        Weighting.STATIC,
    )
    plan = AnswersPlan(
        members=tuple(
            WeightedModel(member.model, member.weight if member.HasField("weight") else None)
            for member in message.members
        ),
        samples=message.samples if message.HasField("samples") else 1,
        select=select,
        compare=compare,
        weighting=weighting,
        on_failure=on_failure,
        stream_early=message.stream_early,
    )
    told.add(answers_problems(plan))
    return plan


def fill_answers(target: plan_pb2.AnswersPlan, plan: AnswersPlan) -> None:
    """A plan as a caller would write it."""
    for member in plan.members:
        target.members.add(model=member.model, weight=member.weight)
    target.samples = plan.samples
    target.select = SELECTIONS[plan.select]
    target.compare = COMPARISONS[plan.compare]
    target.weighting = WEIGHTINGS[plan.weighting]
    target.stream_early = plan.stream_early


def fill_outcome(target: inference_pb2.Outcome, outcome: Outcome) -> None:
    """What came of a vote; what is None is left unset."""
    for answer in outcome.answers:
        target.answers.add(
            model=answer.model,
            sample=answer.sample,
            text=answer.text,
            reading=answer.reading,
            weight=answer.weight,
            confidence=answer.confidence,
            bits_per_byte=answer.bits_per_byte,
            problem=answer.problem,
            ended=answer.ended,
            lost=answer.lost,
        )
    for group in outcome.groups:
        target.groups.add(reading=group.reading, answers=group.answers, weight=group.weight)
    target.kept = outcome.kept
    target.tied = outcome.tied
