"""Whether another plan may answer than the one asked for or tried, and what is told then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quorate.errors import (
    BudgetSpent,
    InvalidRequest,
    ModelUnusable,
    NotFound,
    Overloaded,
    PromptTooLong,
    QuorateError,
    TemplateRefused,
    Unavailable,
)
from quorate.request import Clause, Decision, Notice, NoticeKind

GIVE_WAY = (
    Unavailable,
    Overloaded,
    ModelUnusable,
    PromptTooLong,
    TemplateRefused,
    BudgetSpent,
)
"""Errors that are of one plan, so that another may do better."""

PASSING = (Unavailable, Overloaded, BudgetSpent)
"""Those that are over after some time."""

_MAX_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A plan that failed before its first byte."""

    decision: Decision
    error: QuorateError

    def notice(self, answering: str) -> Notice:
        """Tells of it, and which plan answers."""
        route = self.decision.route
        model = route.remote or self.decision.members[0].model
        problem = f"{route.name} failed before its first byte: {self.error.message}"
        return Notice(NoticeKind.FELL_BACK, model, f"{problem}; {answering} answers")


def told_first(decision: Decision, lost: Sequence[FailedAttempt]) -> Iterator[Notice]:
    """The notice that comes before an answer: which plan was asked, why it is another one.

    Args:
        decision: What runs.
        lost: The attempts before it; of several the one at the plan that was asked for is told of,
            or else the latest.
    """
    route = decision.route
    asked_and_lost = [one for one in lost if one.decision.route.name == route.instead_of]
    if route.instead_of and not asked_and_lost:
        asked = next(one for one in route.candidates if one.name == route.instead_of)
        why = "; ".join(one.message for one in asked.rejections)
        message = f"{route.name} answers instead of {asked.name}: {why}"
        yield Notice(NoticeKind.SUBSTITUTED, asked.models[0], message)
    elif lost:
        yield (asked_and_lost or lost)[-1].notice(route.name)


def first_told(lost: Sequence[FailedAttempt]) -> QuorateError | None:
    """What is told where no plan is left: the first that passes with time, or else the first.

    A caller that waits may be answered by the plan whose error that is.
    """
    errors = [one.error for one in lost]
    return next((one for one in errors if isinstance(one, PASSING)), errors[0] if errors else None)


def may_be_replaced(decision: Decision, failed: frozenset[str]) -> bool:
    """Whether another plan may be asked for what this one never takes."""
    route = decision.route
    return route.replaceable and route.name not in failed and len(failed) < _MAX_ATTEMPTS - 1


def may_fall_back(decision: Decision, failed: frozenset[str]) -> bool:
    """Whether another plan may be tried: where the queue is full, it is so for all of them."""
    route = decision.route
    over = route.over_budget
    full = over is not None and over.clause is Clause.CAPACITY and not route.remote
    return not full and may_be_replaced(decision, failed)


def in_vain(decision: Decision) -> bool:
    """Whether the windows have no room for the plan that is left either."""
    over = decision.route.over_budget
    return over is not None and over.clause is Clause.ENERGY_WINDOW and not decision.route.remote


def decided_anew(decision: Decision, decide: Callable[[], Decision]) -> Decision:
    """The decision for a request that has its turn, by ``decide``.

    Where nothing can run just now the earlier one stands: its models may be back by the time they
    are needed, or the others go on without one, and if not, they say so themselves. It stands as
    well where its profile is configured no longer.

    Raises:
        QuorateError: What ``choose_plan`` raises, such as ``OverBudget`` where it has waited for so
            long that nothing meets its limits, and the policy is to refuse.
    """
    try:
        return decide()
    except (Unavailable, InvalidRequest, NotFound):
        return decision
    except ModelUnusable:
        if len(decision.models) == 1:
            raise
        return decision
