"""One attempt to answer a request, and everything it took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from quorate.dispatch.activity import ActivitySpan
from quorate.dispatch.stopwatch import Stopwatch
from quorate.ensemble.drafts.costs import KnownCosts
from quorate.ensemble.ensemble import Ensemble, at_once
from quorate.ensemble.losses import Waits
from quorate.ledger.budgets import Hold
from quorate.ledger.charges import Reservation
from quorate.ledger.prices import Price
from quorate.metering.meter import Job
from quorate.request import (
    Decision,
    Delta,
    Energy,
    FinishReason,
    ModelUsage,
    Notice,
    NoticeKind,
    Outcome,
    Request,
    ScoreRequest,
    Usage,
)
from quorate.request.usage import total_times, total_usage
from quorate.request.work import Work

_NO_WORK = Work()


@dataclass(slots=True)
class Run:
    """One vote of an attempt: all of it, or a stage of its cascade.

    Attributes:
        started_at: When it began, by ``time.perf_counter``.
        ended_at: When its last token was decided; None where that never happened.
        first_token_at: When its first token was decided.
        waited_seconds: Time it waited for sessions.
        stalled_seconds: Time it waited for a reader that was slow.
        reason: Why its answer ended.
        length: Tokens of its answer, once that has ended or broken off.
    """

    decision: Decision
    ensemble: Ensemble[Any]
    started_at: float
    waited_seconds: float = 0.0
    stalled_seconds: float = 0.0
    first_token_at: float | None = None
    ended_at: float | None = None
    reason: FinishReason | None = None
    length: int = 0

    def token(self) -> None:
        """Notes that a token was decided; only the first counts."""
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()

    def end(self, reason: FinishReason) -> None:
        """Notes that the answer is complete."""
        self.ended_at = time.perf_counter()
        self.reason = reason
        self.length = self.ensemble.length


@dataclass(slots=True)
class WireCall:
    """One call that left this machine. Moments are of ``time.perf_counter``.

    Attributes:
        ended_at: None where it was cut short, with the attempt.
        problem: What it failed of; "" where it did not.
    """

    sent_at: float
    ended_at: float | None = None
    problem: str = ""


@dataclass(slots=True)
class RemoteCall:
    """What a remote was asked for and gave, as far as is known.

    Every call that was sent may be charged for until the remote says otherwise.

    Attributes:
        prompt_tokens: As the remote counted, as far as that is believed; None where it is not
            known, so that it may be all the tokens the prompt can have.
        generated_tokens: Likewise, or at least what was streamed.
        asked: Whether a call was sent that is not known to be free.
        lost: Calls before it that gave no answer and may be charged for all the same.
        complete: Whether the remote counted itself.
        reason: Why its answer ended.
        wire: Every call that was sent, those that failed included.
    """

    name: str
    prompt_tokens: int | None = None
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    asked: bool = False
    lost: int = 0
    complete: bool = False
    reason: FinishReason | None = None
    wire: list[WireCall] = field(default_factory=list)

    def send(self) -> None:
        """A call leaves this machine."""
        self.asked = True
        self.wire.append(WireCall(time.perf_counter()))

    def end(self, problem: str = "") -> None:
        """The call that was sent last, if one was, ended or failed."""
        if self.wire and self.wire[-1].ended_at is None:
            self.wire[-1].ended_at = time.perf_counter()
            self.wire[-1].problem = problem


@dataclass(slots=True)
class Attempt:
    """One attempt to answer a request with one decision.

    Attributes:
        attempt_id: Unique.
        request: The request; its id is settled.
        started_at: UTC epoch seconds.
        stopwatch: Runs since the request arrived.
        call_usd: Most that one call of a remote may cost; None where nobody knows or charges.
        reserved_usd: What is held and reserved for all of its calls.
        more_holds: Those beside ``hold``, for calls that were tried again.
        reserved_joules: Energy that is held for it; None holds none.
        replaceable: Whether another plan may stand in while it has not begun.
        aside: Lets other requests run while this one waits; see ``AdmissionQueue.aside``.
        turn: Waits until it may take a step; see ``LoopTurns.enter``.
        cold_start: Whether nobody knew what energy it takes, where joules are limited.
        reservation: What stands in the ledger of it; None where that keeps nothing.
        job: Meters it, from when it begins.
        span: Counts it among the requests that use its models, likewise.
        draft_costs: What is known of drafts, which learns from this one.
        generated_tokens: Tokens of the answer so far; of a remote its own count is used.
        notices: How many notices of each kind were given.
        outcome: How whole answers voted, where they did.
        given_by: Vote of a cascade whose answer its caller got.
        ended_by: Why the answer ended that its caller got; None while it did not.
        error: Name of the error it failed of, or "".
        closed: Whether it is settled.
    """

    attempt_id: str
    request: Request | ScoreRequest
    decision: Decision
    started_at: float
    stopwatch: Stopwatch
    hold: Hold
    price: Price | None = None
    call_usd: Decimal | None = None
    more_holds: list[Hold] = field(default_factory=list)
    reserved_usd: Decimal | None = None
    reserved_joules: float | None = None
    remote: RemoteCall | None = None
    replaceable: bool = False
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    turn: Callable[[], Awaitable[None]] = at_once
    cold_start: bool = False
    reservation: Reservation | None = None
    job: Job | None = None
    span: ActivitySpan | None = None
    runs: list[Run] = field(default_factory=list)
    draft_costs: KnownCosts = field(default_factory=KnownCosts)
    generated_tokens: int = 0
    notices: Counter[NoticeKind] = field(default_factory=Counter)
    outcome: Outcome | None = None
    given_by: Decision | None = None
    ended_by: FinishReason | None = None
    error: str = ""
    closed: bool = False
    # Its work is asked for whenever any request begins or ends.
    _nothing_done: dict[str, Work] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Notes its models."""
        self._nothing_done = dict.fromkeys(self.decision.models, _NO_WORK)

    @property
    def probe(self) -> bool:
        """Whether the server asked itself, to learn what a model takes."""
        return isinstance(self.request, Request) and self.request.probe

    def count(self, part: Delta | Notice) -> None:
        """Counts the tokens of the answer; those of a stage that gave way are no part of it."""
        if isinstance(part, Delta):
            self.stopwatch.token()
            self.generated_tokens += len(part.tokens)
            return
        self.notices[part.kind] += 1
        if part.kind is NoticeKind.ESCALATED:
            self.generated_tokens = 0

    @property
    def patience(self) -> Waits:
        """When a model is waited for that nobody else of its plan answers without."""
        return Waits.ONCE_BEGUN if self.replaceable else Waits.ALWAYS

    @property
    def computed_tokens(self) -> int:
        """Tokens of all answers that were made, those that nobody was told included.

        Of votes that have ended; what a judge reads is no answer.
        """
        return max(self.generated_tokens, sum(run.length for run in self.runs))

    def work(self) -> dict[str, Work]:
        """What its models computed so far, by model; those that did nothing yet have no work."""
        done = dict(self._nothing_done)
        for run in self.runs:
            for model, work in run.ensemble.work().items():
                before = done.get(model, _NO_WORK)
                done[model] = before + work if before else work
        return done

    @property
    def reason(self) -> FinishReason | None:
        """Why its answer ended."""
        if self.remote is not None:
            return self.remote.reason
        return self.ended_by or (self.runs[-1].reason if self.runs else None)

    def joules(self, energies: Mapping[str, Energy]) -> float | None:
        """What counts as spent of a budget's joules, by the energy of each model.

        Where the energy of some model is not known it counts at least what was held for all.
        """
        known = [energy.joules for energy in energies.values() if energy.joules is not None]
        if not known:
            return None
        least = 0.0 if len(known) == len(energies) else self.reserved_joules or 0.0
        return max(sum(known), least)

    def usage(self, energies: Mapping[str, Energy]) -> Usage:
        """What it took, with the energy of each model."""
        generated_tokens = self.generated_tokens
        if self.remote is not None:
            generated_tokens = self.remote.generated_tokens
            models: Sequence[ModelUsage] = [self._remote_usage(self.remote)]
        else:
            models = [
                replace(usage, energy=energies.get(usage.model, Energy()))
                for usage in _by_model(self.runs)
            ]
        first_ms, duration_ms = self.stopwatch.time_to_first_token_ms, self.stopwatch.duration_ms
        usage = total_usage(models, generated_tokens, first_ms, duration_ms)
        if self.decision.route.answers is not None and self.runs:
            # The prompt counts once, however many read it.
            first = self.decision.models[0]
            read = [one for run in self.runs for one in run.ensemble.usage()]
            one = next((one for one in read if one.model == first), read[0])
            usage = replace(
                usage,
                prompt_tokens=one.prompt_tokens,
                cached_prompt_tokens=one.cached_prompt_tokens,
            )
        return replace(
            usage,
            drafted_tokens=sum(run.ensemble.drafted for run in self.runs),
            accepted_tokens=sum(run.ensemble.accepted for run in self.runs),
            step_times=total_times([run.ensemble.clock.times for run in self.runs]),
        )

    def usd(self) -> Decimal | None:
        """What it cost, or may have cost; None where nobody charges.

        A remote that did not say what it counted is taken to charge for the most tokens that the
        prompt can have, and for what was streamed. A call of which nothing came may have cost all
        that a call can.
        """
        if self.remote is None or self.price is None:
            return None
        call = self.remote
        most = Decimal(0) if self.call_usd is None else self.call_usd
        usd = most * call.lost
        if not call.asked:
            return usd
        if call.prompt_tokens is None:
            if not (call.generated_tokens or call.complete):
                return usd + most
            return usd + self.price.ceiling(self.request.prompt.token_bound, call.generated_tokens)
        return usd + self.price.cost(
            call.prompt_tokens, call.cached_prompt_tokens, call.generated_tokens
        )

    def _remote_usage(self, call: RemoteCall) -> ModelUsage:
        usd = self.usd()
        return ModelUsage(
            model=call.name,
            prompt_tokens=call.prompt_tokens or 0,
            cached_prompt_tokens=call.cached_prompt_tokens,
            generated_tokens=call.generated_tokens,
            busy_ms=self.stopwatch.duration_ms,
            usd=None if usd is None else float(usd),
        )


def _by_model(runs: Sequence[Run]) -> list[ModelUsage]:
    """Usage of each model, over all votes it took part in."""
    total: dict[str, ModelUsage] = {}
    for run in runs:
        for usage in run.ensemble.usage():
            known = total.get(usage.model)
            total[usage.model] = usage if known is None else _added(known, usage)
    return list(total.values())


def _added(first: ModelUsage, second: ModelUsage) -> ModelUsage:
    return replace(
        second,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        cached_prompt_tokens=first.cached_prompt_tokens + second.cached_prompt_tokens,
        generated_tokens=first.generated_tokens + second.generated_tokens,
        busy_ms=first.busy_ms + second.busy_ms,
        drafted_tokens=first.drafted_tokens + second.drafted_tokens,
        accepted_tokens=first.accepted_tokens + second.accepted_tokens,
        lone_tokens=first.lone_tokens + second.lone_tokens,
    )
