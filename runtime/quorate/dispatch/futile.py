"""Whether what is refused for now could ever be served: then its caller is told that instead.

A budget fills up again and a queue empties, but a prompt that no context holds stays too long. Who
was told to come back for nothing would come back for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quorate.dispatch.callers import Callers
from quorate.dispatch.cascade import STAGE_FAILURES
from quorate.dispatch.detours import GIVE_WAY, may_be_replaced
from quorate.dispatch.scores import check_continuation
from quorate.engines.fair_turns import CALLER
from quorate.ensemble.assembly import fitted_prompts
from quorate.ensemble.losses import Attendance, Losses
from quorate.errors import (
    BudgetSpent,
    CannotRun,
    InvalidRequest,
    NotFound,
    Overloaded,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
)
from quorate.fleet.fleet import Fleet
from quorate.request import Decision, FailurePolicy, Request, ScoreRequest

_LOOKED_AT = (Overloaded, BudgetSpent)
_NEVER = (InvalidRequest, NotFound, UnsupportedPlan)
# A refusal must not take long because others keep the tokenizers busy.
_PATIENCE_SECONDS = 1.0


class FutileRequests:
    """Tells them from those that are worth another try.

    Args:
        callers: Keeps callers to their limits.
        fleet: Has the models that are asked.
    """

    def __init__(self, callers: Callers, fleet: Fleet) -> None:
        self._callers = callers
        self._fleet = fleet
        # Callers about whose prompt the members are asked just now.
        self._asking: set[str] = set()

    async def graver_error(
        self, error: QuorateError, request: Request | ScoreRequest, decision: Decision
    ) -> QuorateError:
        """What a request is to be refused with that ``error`` keeps from running now.

        It is what its members have against the prompt, however long it waits, and else ``error``
        itself; that too where they cannot be asked, or are busy. What a remote takes only it knows.
        A cascade refuses what all of its stages refuse.

        Nothing limits how many are refused, so that the members are asked about one request of a
        caller at once, and the others are told ``error``.
        """
        if not isinstance(error, _LOOKED_AT) or decision.route.remote:
            return error
        if any(_surely_fits(request, vote) for vote in decision.votes):
            return error
        whose = CALLER.get().name
        if whose in self._asking:
            return error
        self._asking.add(whose)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await _objection(self._fleet, request, decision) or error
        except (NotFound, CannotRun, Unavailable, TimeoutError):
            return error
        finally:
            self._asking.discard(whose)

    async def refuse_beyond_limits(
        self,
        request: Request | ScoreRequest,
        decide: Callable[[frozenset[str]], Decision],
    ) -> None:
        """Refuses what the limits of its key keep out, unless it could never be served anyway.

        ``decide`` decides without the plans of these names.

        Raises:
            LimitReached: Its key allows no more now.
            QuorateError: It never does; ``decide`` says why, or the members of every plan that may
                answer.
        """
        refusal = self._callers.refusal(request)
        if refusal is None:
            return
        refused: dict[str, QuorateError] = {}
        while True:
            failed = frozenset(refused)
            try:
                decision = decide(failed)
            except QuorateError as error:
                first = next(iter(refused.values()), error)
                raise (first if isinstance(first, _NEVER) else refusal) from None
            graver = await self.graver_error(refusal, request, decision)
            open_choice = not isinstance(request, ScoreRequest) and may_be_replaced(
                decision, failed
            )
            if graver is refusal or not isinstance(graver, GIVE_WAY) or not open_choice:
                raise graver
            refused[decision.route.name] = graver


def _surely_fits(request: Request | ScoreRequest, vote: Decision) -> bool:
    """A token stands for a byte at least, and an alignment takes half of what is left at most."""
    most = request.prompt.token_bound
    if isinstance(request, ScoreRequest):
        most += request.continuation_bytes
    return 2 * most < vote.context_tokens


async def _objection(
    fleet: Fleet, request: Request | ScoreRequest, decision: Decision
) -> InvalidRequest | None:
    """What the members have against the prompt, where no vote takes it."""
    never: InvalidRequest | None = None
    for vote in decision.votes:
        try:
            await _ask_members(fleet, request, vote)
        except InvalidRequest as error:
            never = error
            if not isinstance(error, STAGE_FAILURES):
                break
        else:
            return None
    return never


async def _ask_members(fleet: Fleet, request: Request | ScoreRequest, vote: Decision) -> None:
    models = [member.model for member in vote.members]
    with fleet.muster(models) as (engines, away):
        losses = Losses(FailurePolicy.FAIL)
        attendance = await Attendance.of(models, engines, away, losses)
        prompts = await fitted_prompts(vote, attendance, request.prompt)
        if isinstance(request, ScoreRequest):
            for model, prompt in prompts.items():
                await check_continuation(request, model, engines[model], prompt)
