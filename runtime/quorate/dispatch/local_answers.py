"""Answers of local models, by the kind of plan that was decided."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from quorate.dispatch.answer_vote import AnswerVote
from quorate.dispatch.answers import Part, run_vote
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.cascade import Cascade
from quorate.fleet.fleet import Fleet
from quorate.request import PlanKind, Request
from quorate.routing.confidence import ConfidenceTable


def local_answer(
    fleet: Fleet,
    request: Request,
    attempt: Attempt,
    max_tokens: int,
    confidences: ConfidenceTable,
) -> AsyncGenerator[Part, None]:
    """Answers with the plan of an attempt, which no remote runs."""
    decision = attempt.decision
    if decision.route.kind is PlanKind.CASCADE:
        return Cascade(fleet, request, attempt, max_tokens, confidences).answer()
    if decision.route.kind is PlanKind.ANSWERS:
        return AnswerVote(fleet, request, attempt, max_tokens, confidences).answer()
    return run_vote(
        decision,
        fleet,
        request,
        request.response,
        attempt,
        max_tokens,
        waits=attempt.patience,
    )
