"""From a plan of whole answers as it was written to the votes that run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.errors import InvalidRequest, refuse_all
from quorate.request import (
    MAX_SAMPLES,
    AnswersPlan,
    DecidedAnswers,
    Decision,
    Plan,
    Selection,
    WeightedModel,
    Weighting,
)
from quorate.routing.resolve import (
    member_problems,
    resolve,
    weight_problems,
    weighted_members,
)
from quorate.routing.snapshot import Snapshot

_WEIGHTINGS = (Weighting.STATIC, Weighting.CONFIDENCE)
# The seed is the request's; whoever decides fills it in.
_NO_SEED = 0
_FIELD = "plan.answers"

MAX_ANSWERS = 64
"""Most answers that vote on one question."""


def decide_answers(
    plan: AnswersPlan, snapshot: Snapshot, profile: str
) -> tuple[tuple[WeightedModel, ...], DecidedAnswers]:
    """Fills in everything a plan left open and checks that it can run.

    Returns:
        The members with normalised weights, those of weight zero left out, and how they vote.

    Raises:
        InvalidRequest: A number of samples, or weights, that there cannot be.
        QuorateError: What ``resolve`` raises.
    """
    refuse_all(answers_problems(plan))

    def vote_of(members: tuple[WeightedModel, ...]) -> Decision:
        return resolve(Plan(members, on_failure=plan.on_failure), snapshot, _NO_SEED, profile)

    members = weighted_members(plan.members, snapshot)
    votes = tuple(vote_of((WeightedModel(member.model),)) for member in members)
    judge = vote_of(members) if plan.select is Selection.LIKELIHOOD else None
    return members, DecidedAnswers(
        votes=votes,
        samples=plan.samples,
        select=plan.select,
        compare=plan.compare,
        weighting=plan.weighting,
        judge=judge,
    )


def answers_problems(plan: AnswersPlan) -> Iterator[InvalidRequest]:
    """What is wrong with a plan whatever models there are."""
    for found in (*member_problems(plan.members), *weight_problems(plan.members)):
        path = found.field.removeprefix("plan.ensemble")
        yield InvalidRequest(f"{_FIELD}{path}", found.problem)
    if not 1 <= plan.samples <= MAX_SAMPLES:
        yield InvalidRequest(f"{_FIELD}.samples", f"is {plan.samples}; give 1 to {MAX_SAMPLES}")
    elif plan.samples * len(plan.members) > MAX_ANSWERS:
        problem = f"makes {plan.samples * len(plan.members)} answers; at most {MAX_ANSWERS} vote"
        yield InvalidRequest(f"{_FIELD}.samples", problem)
    if plan.weighting not in _WEIGHTINGS:
        problem = f"is {plan.weighting.value}; whole answers weigh static, or by confidence"
        yield InvalidRequest(f"{_FIELD}.weighting", problem)
