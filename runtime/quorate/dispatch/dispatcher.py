"""The way of one request through the house."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager

from quorate.dispatch.answers import Begun, Part, ask_remote, vote
from quorate.dispatch.attempt import Asked, Attempt
from quorate.dispatch.books import CANCELLED, FAILED, Books
from quorate.dispatch.cascade import cascade
from quorate.dispatch.gate import Gate
from quorate.dispatch.prompts import most_prompt_tokens, prompt_bytes
from quorate.dispatch.router import Knowledge, Router
from quorate.dispatch.scores import score_run
from quorate.dispatch.settings import DispatchSettings
from quorate.dispatch.stopwatch import Stopwatch
from quorate.ensemble.sampling_options import validate, validate_for_bytes
from quorate.ensemble.stops import StopMatcher
from quorate.errors import (
    InvalidRequest,
    ModelUnusable,
    Overloaded,
    PromptTooLong,
    QuorateError,
    Unavailable,
)
from quorate.fleet.fleet import Fleet
from quorate.ledger.prices import Price
from quorate.remotes.remote import Remote
from quorate.request import (
    Accepted,
    Alignment,
    CascadePlan,
    Clause,
    Decision,
    Event,
    Finished,
    FinishReason,
    NamedPlan,
    Notice,
    NoticeKind,
    Plan,
    PlanKind,
    Request,
    Score,
    ScoreRequest,
)
from quorate.routing.settings import RoutingSettings

_MOST_ATTEMPTS = 4


class Dispatcher:
    """Runs requests over the models of a fleet, and over remotes where nothing local will do.

    Args:
        fleet: The models.
        settings: Limits of admission.
        profiles: Named plans of the configuration.
        default_profile: The plan of requests that name none, or "".
        books: Meters, budgets and ledger; by default nothing is limited and nothing is kept.
        routing: How plans are chosen.
        remotes: Remote APIs by name.
        price: What a remote charges now, by its name; None where nobody knows.
        knowledge: What calibration found out.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: DispatchSettings,
        profiles: Mapping[str, NamedPlan] | None = None,
        default_profile: str = "",
        *,
        books: Books | None = None,
        routing: RoutingSettings | None = None,
        remotes: Mapping[str, Remote] | None = None,
        price: Callable[[str], Price | None] | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        self.books = books or Books()
        self._fleet = fleet
        self._settings = settings
        self._remotes = dict(remotes or {})
        self._gate = Gate(settings.max_running, settings.max_waiting)
        self._router = Router(
            fleet,
            self._gate,
            self.books,
            routing or RoutingSettings(),
            profiles or {},
            default_profile,
            self._remotes,
            price or _unpriced,
            knowledge,
        )

    @property
    def running(self) -> int:
        """Requests running here now; those that a remote answers are not counted."""
        return self._gate.inside

    @property
    def waiting(self) -> int:
        """Requests waiting for admission now."""
        return self._gate.waiting

    async def drain(self, deadline_seconds: float) -> bool:
        """Admits nothing more; returns whether the running requests ended in time."""
        return await self._gate.drain(deadline_seconds)

    def explain(self, request: Request) -> Decision:
        """The plan that would run for a request, with everything that was considered.

        Raises:
            QuorateError: What ``generate`` would raise for want of a plan.
        """
        validate(request.sampling)
        return self._decide(request, frozenset(), 0.0)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers a request.

        Closing the iterator, or cancelling the task that reads it, frees everything at once. A plan
        that fails before it has begun gives way to the next best where the request did not spell
        it out.

        Yields:
            ``Accepted``, then ``Delta`` and ``Notice``, at last ``Finished``.

        Raises:
            QuorateError: See ``errors`` for the tree; nothing was yielded before, except when a
                member is lost in mid-stream.
        """
        stopwatch = Stopwatch()
        StopMatcher(request.stopping.stop)
        validate(request.sampling)
        failed: frozenset[str] = frozenset()
        first_error: QuorateError | None = None
        lost: Notice | None = None
        while True:
            try:
                decision = self._decide(request, failed, stopwatch.duration_ms)
            except QuorateError as error:
                raise first_error or error from None
            begun = False
            try:
                async with aclosing(self._attempt(request, decision, stopwatch, lost)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except (Unavailable, Overloaded, ModelUnusable, PromptTooLong) as error:
                first_error = first_error or error
                name = decision.route.name
                if begun or not _may_fall_back(request, decision, failed):
                    raise
                lost = Notice(
                    NoticeKind.FELL_BACK,
                    decision.route.remote or decision.members[0].model,
                    f"{name} failed before its first byte: {error.message}",
                )
                failed |= {name}

    async def score(self, request: ScoreRequest) -> Score:
        """Scores a continuation under a plan.

        Raises:
            QuorateError: See ``errors`` for the tree.
        """
        stopwatch = Stopwatch()
        if not request.continuation:
            raise InvalidRequest("continuation", "is empty; give the text to score")
        decision = self._router.decide_for_score(request)
        asked = _asked(request, "", False)
        async with self._gate.enter(), self._entered(asked, decision, stopwatch) as attempt:
            tokens, members = await score_run(self._fleet, request, attempt)
            attempt.generated_tokens = len(tokens)
            usage = await self.books.settle(attempt)
        return Score(
            request_id=asked.request_id,
            decision=decision,
            logprob=sum(token.logprob for token in tokens),
            bytes=len(request.continuation.encode()),
            tokens=tuple(tokens),
            usage=usage,
            members=members,
        )

    def _decide(self, request: Request, failed: frozenset[str], elapsed_ms: float) -> Decision:
        decision = self._router.decide(request, self._wanted(request), failed, elapsed_ms)
        stages = [stage.decision for stage in decision.route.stages] or [decision]
        if any(one.alignment is not Alignment.SAME_VOCABULARY for one in stages):
            validate_for_bytes(request.sampling)
        return decision

    async def _attempt(
        self, request: Request, decision: Decision, stopwatch: Stopwatch, lost: Notice | None
    ) -> AsyncGenerator[Event, None]:
        """Answers with one plan, and settles what that took before the last event.

        Args:
            request: The request.
            decision: The plan.
            stopwatch: Runs since the request arrived.
            lost: Tells of a plan that was tried before.
        """
        asked = _asked(request, decision.route.task, request.probe)
        async with (
            self._door(decision),
            self._entered(asked, decision, stopwatch) as attempt,
            aclosing(self._answer(request, attempt)) as parts,
        ):
            async for part in parts:
                if isinstance(part, Begun):
                    yield Accepted(asked.request_id, decision)
                    if lost is not None:
                        yield lost
                elif isinstance(part, FinishReason):
                    yield Finished(part, await self.books.settle(attempt))
                    return
                else:
                    attempt.count(part)
                    yield part

    def _answer(self, request: Request, attempt: Attempt) -> AsyncGenerator[Part, None]:
        route, wanted = attempt.decision.route, self._wanted(request)
        if route.kind is PlanKind.REMOTE:
            return ask_remote(self._remotes[route.remote], request, attempt, wanted)
        if route.kind is PlanKind.CASCADE:
            confidence = self._router.knowledge.confidence
            return cascade(self._fleet, request, attempt, wanted, confidence)
        return vote(self._fleet, request, attempt, wanted)

    @asynccontextmanager
    async def _door(self, decision: Decision) -> AsyncIterator[None]:
        """A place inside, which what a remote answers does not need."""
        if decision.route.kind is PlanKind.REMOTE:
            with self._gate.pass_by():
                yield
            return
        async with self._gate.enter():
            yield

    @asynccontextmanager
    async def _entered(
        self, asked: Asked, decision: Decision, stopwatch: Stopwatch
    ) -> AsyncIterator[Attempt]:
        """An attempt in the books, which is settled however it ends."""
        price = self._router.price(decision.route.remote)
        attempt = await self.books.open(asked, decision, stopwatch, price)
        try:
            yield attempt
        except (asyncio.CancelledError, GeneratorExit):
            self.books.abandon(attempt, CANCELLED)
            raise
        except BaseException:
            self.books.abandon(attempt, FAILED)
            raise
        finally:
            self.books.abandon(attempt, CANCELLED)

    def _wanted(self, request: Request) -> int:
        return request.stopping.max_tokens or self._settings.default_max_tokens


def _asked(request: Request | ScoreRequest, task: str, probe: bool) -> Asked:
    return Asked(
        request_id=request.request_id or str(uuid.uuid4()),
        key=request.key,
        task=task,
        prompt=request.prompt,
        prompt_bytes=prompt_bytes(request.prompt),
        most_prompt_tokens=most_prompt_tokens(request.prompt),
        probe=probe,
    )


def _may_fall_back(request: Request, decision: Decision, failed: frozenset[str]) -> bool:
    """Whether another plan may be tried: where the door was full, they all stand before it."""
    if isinstance(request.plan, Plan | CascadePlan) or decision.route.name in failed:
        return False
    over = decision.route.over_budget
    full = over is not None and over.clause is Clause.CAPACITY and not decision.route.remote
    return not full and len(failed) < _MOST_ATTEMPTS - 1


def _unpriced(remote: str) -> None:
    """Nobody knows what a remote charges."""
    return None
