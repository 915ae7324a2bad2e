"""The way of one request: plan, queue, attempt, and another plan where that one fails."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.dispatch.answers import Part, Started, ask_remote
from quorate.dispatch.attempt import Attempt
from quorate.dispatch.callers import Callers, Tally, counted
from quorate.dispatch.calling import check_forms
from quorate.dispatch.detours import (
    GIVE_WAY,
    PASSING,
    FailedAttempt,
    decided_anew,
    first_told,
    in_vain,
    may_be_replaced,
    may_fall_back,
    told_first,
)
from quorate.dispatch.feedback import Feedback
from quorate.dispatch.futile import FutileRequests
from quorate.dispatch.local_answers import local_answer
from quorate.dispatch.loop_turns import LoopTurns
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.router import Knowledge, Router, no_price
from quorate.dispatch.scores import scored
from quorate.dispatch.settings import CallerLimits, DispatchSettings
from quorate.dispatch.stopwatch import Stopwatch
from quorate.engines.fair_turns import CALLER, Caller
from quorate.errors import QuorateError
from quorate.fleet.fleet import Fleet
from quorate.ledger.prices import Price
from quorate.remotes.remote import Remote
from quorate.request import (
    Accepted,
    Alignment,
    Decision,
    Event,
    Finished,
    FinishReason,
    NamedPlan,
    Request,
    Score,
    ScoreRequest,
)
from quorate.routing.settings import RoutingSettings
from quorate.sampling.options import validate, validate_for_bytes


class Dispatcher:
    """Runs requests over the models of a fleet, and over remotes where nothing local will do.

    Args:
        profiles: Named plans of the configuration.
        default_profile: See the property.
        recorder: Meters, budgets and ledger; by default nothing is limited and nothing is kept.
        price: What a remote charges now, by its name; None where nobody knows.
        knowledge: What calibration found out.
        limits: Of each key, by name.

    Attributes:
        turns: Of the event loop, for all that requests make it do.
        feedback: Takes what callers thought of answers.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: DispatchSettings,
        profiles: Mapping[str, NamedPlan] | None = None,
        default_profile: str = "",
        *,
        recorder: AttemptRecorder | None = None,
        routing: RoutingSettings | None = None,
        remotes: Mapping[str, Remote] | None = None,
        price: Callable[[str], Price | None] = no_price,
        knowledge: Knowledge | None = None,
        limits: Mapping[str, CallerLimits] | None = None,
    ) -> None:
        self.recorder = recorder or AttemptRecorder()
        self.turns = LoopTurns()
        self.draining = False
        self._fleet = fleet
        self._settings = settings
        self._remotes = dict(remotes or {})
        self._callers = Callers(limits or {})
        self._futile = FutileRequests(self._callers, fleet)
        self._queue = AdmissionQueue(settings.max_running, settings.max_waiting)
        self._router = Router(
            fleet,
            self._queue,
            self.recorder,
            routing or RoutingSettings(),
            profiles or {},
            default_profile,
            self._remotes,
            price,
            knowledge,
        )
        self.feedback = Feedback(self.recorder, self._router, self._callers)

    @property
    def admission(self) -> DispatchSettings:
        """How many requests may run and wait."""
        return self._settings

    @property
    def profiles(self) -> Mapping[str, NamedPlan]:
        """The named plans, in the order of the configuration."""
        return self._router.profiles

    @property
    def default_profile(self) -> str:
        """The plan of requests that name none, or ""."""
        return self._router.default_profile

    def change(
        self, profiles: Mapping[str, NamedPlan], default: str, limits: Mapping[str, CallerLimits]
    ) -> None:
        """Takes other named plans and limits of keys; what runs or waits stays decided."""
        self._router.set_profiles(profiles, default)
        self._callers.change(limits)

    def caller(self, key: str, origin: str) -> Caller:
        """Who takes the turns of a request with this key, "" for none, that comes from there."""
        return self._callers.caller(key, origin)

    @property
    def running(self) -> int:
        """Requests running here now; those that a remote answers are not counted."""
        return self._queue.state.running

    @property
    def waiting(self) -> int:
        """Requests waiting for admission now."""
        return self._queue.state.waiting

    @property
    def aside(self) -> int:
        """Requests that wait for a member to come back, and let others run meanwhile."""
        return self._queue.waiting_aside

    def profiles_down(self) -> dict[str, str]:
        """Why each profile cannot run now, in one line; "" for one that can."""
        return self._router.profiles_down()

    async def drain(self, deadline_seconds: float) -> bool:
        """Admits nothing more; returns whether the running requests ended in time."""
        self.draining = True
        return await self._queue.drain(deadline_seconds)

    def explain(self, request: Request) -> Decision:
        """The plan that would run for a request of this caller, with everything considered.

        Raises:
            QuorateError: What ``generate`` would raise for want of a plan.
        """
        validate(request.sampling)
        CALLER.set(self.caller(request.key, request.origin))
        return self._decide(request, frozenset(), 0.0)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers a request.

        Closing the iterator, or cancelling the task that reads it, frees everything at once. A plan
        that fails before it has begun gives way to the next best where the choice is open, or the
        request may be answered by another plan than it names.

        Yields:
            ``Accepted``, then ``Delta`` and ``Notice``, at last ``Finished``.

        Raises:
            LimitReached: The caller's key allows no more now.
            QuorateError: See ``errors`` for the tree; nothing was yielded before, except when a
                member is lost in mid-stream.
        """
        stopwatch = Stopwatch()
        request = replace(request, request_id=request.request_id or str(uuid.uuid4()))
        validate(request.sampling)
        decide = partial(self._decide, request, elapsed_ms=0.0)
        await self._futile.refuse_beyond_limits(request, decide)
        with self._callers.request(request) as tally:
            await check_forms(request, self._fleet.guides)
            async with aclosing(self._answers(request, stopwatch, tally)) as events:
                async for event in events:
                    tally.count(event)
                    yield event

    async def _answers(
        self, request: Request, stopwatch: Stopwatch, tally: Tally
    ) -> AsyncGenerator[Event, None]:
        """The answer of the first plan that begins one."""
        lost: list[FailedAttempt] = []
        while True:
            failed, told = frozenset(one.decision.route.name for one in lost), first_told(lost)
            try:
                decision = self._decide(request, failed, stopwatch.duration_ms)
            except QuorateError as error:
                raise told or error from None
            if isinstance(told, PASSING) and in_vain(decision):
                raise told
            begun = False
            try:
                async with self._admitted(request, decision, failed, stopwatch) as decision:
                    replaceable = may_fall_back(decision, failed)
                    attempt = self._attempt(request, decision, stopwatch, replaceable, tally)
                    async with aclosing(attempt) as events:
                        async for event in events:
                            begun = True
                            yield event
                            if isinstance(event, Accepted):
                                for notice in told_first(decision, lost):
                                    yield notice
                return
            except GIVE_WAY as error:
                if begun:
                    raise
                graver = await self._futile.graver_error(error, request, decision)
                may_follow = may_fall_back if graver is error else may_be_replaced
                if not isinstance(graver, GIVE_WAY) or not may_follow(decision, failed):
                    raise graver from None
                lost.append(FailedAttempt(decision, graver))

    async def score(self, request: ScoreRequest) -> Score:
        """Scores a continuation under a plan.

        Raises:
            QuorateError: See ``errors`` for the tree.
        """
        stopwatch = Stopwatch()
        request = replace(request, request_id=request.request_id or str(uuid.uuid4()))
        decide = partial(self._router.decide_for_score, request)
        await self._futile.refuse_beyond_limits(request, lambda _: decide())
        with self._callers.request(request) as tally:
            decision = decide()
            try:
                score = await self._score(request, decision, stopwatch)
            except GIVE_WAY as error:
                raise await self._futile.graver_error(error, request, decision) from None
            tally.score(score)
            return score

    async def _score(
        self, request: ScoreRequest, decision: Decision, stopwatch: Stopwatch
    ) -> Score:
        async with self._queue.admit() as waited:
            if waited:
                await self.turns.enter()
                with suppress(QuorateError):
                    decision = self._router.decide_for_score(request, admitted=True)
            async with self._recorded(request, decision, stopwatch) as attempt:
                return await scored(self._fleet, request, attempt, self.recorder)

    def _decide(
        self,
        request: Request,
        failed: frozenset[str],
        elapsed_ms: float,
        admitted: bool = False,
    ) -> Decision:
        max_tokens = self._max_tokens(request)
        decision = self._router.decide(request, max_tokens, failed, elapsed_ms, admitted)
        if any(vote.alignment is not Alignment.SAME_VOCABULARY for vote in decision.votes):
            validate_for_bytes(request.sampling)
        return decision

    async def _attempt(
        self,
        request: Request,
        decision: Decision,
        stopwatch: Stopwatch,
        replaceable: bool,
        tally: Tally,
    ) -> AsyncGenerator[Event, None]:
        """Answers with one plan, and settles what that took before the last event."""
        async with (
            self._recorded(request, decision, stopwatch) as attempt,
            counted(attempt, tally),
        ):
            attempt.replaceable = replaceable
            async with aclosing(self._answer(request, attempt)) as parts:
                async for part in parts:
                    if isinstance(part, Started):
                        yield Accepted(request.request_id, decision)
                    elif isinstance(part, FinishReason):
                        attempt.ended_by = part
                        usage = await self.recorder.settle(attempt)
                        yield Finished(part, usage, request.request_id, attempt.outcome)
                        return
                    else:
                        attempt.count(part)
                        yield part

    def _answer(self, request: Request, attempt: Attempt) -> AsyncGenerator[Part, None]:
        max_tokens = self._max_tokens(request)
        if attempt.remote is not None:
            remote = self._remotes[attempt.remote.name]
            return ask_remote(
                remote,
                request,
                attempt.remote,
                attempt.stopwatch,
                max_tokens,
                partial(self.recorder.hold_another_call, attempt),
            )
        confidences = self._router.knowledge.confidence
        return local_answer(self._fleet, request, attempt, max_tokens, confidences)

    @asynccontextmanager
    async def _admitted(
        self, request: Request, decision: Decision, failed: frozenset[str], stopwatch: Stopwatch
    ) -> AsyncIterator[Decision]:
        """A turn in the queue, which what a remote answers does not need; yields what then runs.

        The queue comes before budgets and ledger: who waits holds nothing that others could use.
        What it found at the end of the wait is not what it was sent in with, so that it is decided
        anew: a window may have filled, a model may be gone.
        """
        if not decision.route.remote:
            async with self._queue.admit() as waited:
                if waited:
                    await self.turns.enter()
                    decide = partial(self._decide, request, failed, stopwatch.duration_ms, True)
                    decision = decided_anew(decision, decide)
                if not decision.route.remote:
                    yield decision
                    return
        with self._queue.bypass():
            yield decision

    @asynccontextmanager
    async def _recorded(
        self, request: Request | ScoreRequest, decision: Decision, stopwatch: Stopwatch
    ) -> AsyncIterator[Attempt]:
        price = self._router.price(decision.route.remote)
        async with self.recorder.recorded(request, decision, stopwatch, price) as attempt:
            attempt.aside, attempt.turn = self._queue.aside, self.turns.enter
            # The ledger writes down what many requests reserve at once.
            await attempt.turn()
            yield attempt

    def _max_tokens(self, request: Request) -> int:
        return request.stopping.max_tokens or self._settings.default_max_tokens
