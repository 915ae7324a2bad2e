"""The way of one request through the house."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from quorate.accounting.usage import total_usage
from quorate.dispatch.gate import Gate
from quorate.dispatch.seating import Guest, invite, seat
from quorate.dispatch.settings import DispatchSettings
from quorate.engines.fleet import Fleet
from quorate.ensemble.byte_decode import decode_bytes
from quorate.ensemble.decode import Ballot, Step, decode
from quorate.ensemble.hypotheses import BYTES
from quorate.ensemble.sampling import Sampler
from quorate.ensemble.sampling_options import validate, validate_for_bytes
from quorate.ensemble.scoring import score, score_bytes
from quorate.ensemble.seats import Seat, Table
from quorate.ensemble.stops import StopMatcher
from quorate.ensemble.union_decode import decode_union, score_union
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.generation import (
    Accepted,
    Alignment,
    Decision,
    Delta,
    Event,
    FailurePolicy,
    Finished,
    FinishReason,
    MemberScore,
    Plan,
    Prompt,
    Request,
    Score,
    ScoreRequest,
    TextPrompt,
    Token,
    Usage,
)
from quorate.measurement.energy import EnergyMeter, NoMeter
from quorate.measurement.stopwatch import Stopwatch
from quorate.routing.choose import choose_plan
from quorate.routing.snapshot import Snapshot

_SEED_BITS = 63
_LOOPS: Mapping[Alignment, Callable[[Table[Any], Ballot], AsyncGenerator[Step, None]]] = {
    Alignment.SAME_VOCABULARY: decode,
    Alignment.BYTE_EXACT: decode_bytes,
    Alignment.UNION_TOP_K: decode_union,
}


@dataclass(frozen=True, slots=True)
class _Seated:
    """A request whose members' sessions are open."""

    decision: Decision
    table: Table[Any]
    guests: list[Guest]


class Dispatcher:
    """Runs requests over the models of a fleet.

    Args:
        fleet: The models.
        settings: Limits of admission.
        profiles: Named plans of the configuration.
        default_profile: The plan of requests that name none, or "".
        meter: Attributes energy to models.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: DispatchSettings,
        profiles: Mapping[str, Plan] | None = None,
        default_profile: str = "",
        meter: EnergyMeter | None = None,
    ) -> None:
        self._fleet = fleet
        self._settings = settings
        self._profiles = dict(profiles or {})
        self._default_profile = default_profile
        self._meter = meter or NoMeter()
        self._gate = Gate(settings.max_running, settings.max_waiting)

    @property
    def running(self) -> int:
        """Requests running now."""
        return self._gate.inside

    @property
    def waiting(self) -> int:
        """Requests waiting for admission now."""
        return self._gate.waiting

    async def drain(self, deadline_seconds: float) -> bool:
        """Admits nothing more; returns whether the running requests ended in time."""
        return await self._gate.drain(deadline_seconds)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Answers a request.

        Closing the iterator, or cancelling the task that reads it, frees everything at once.

        Yields:
            ``Accepted``, then ``Delta`` and ``Notice``, at last ``Finished``.

        Raises:
            QuorateError: See ``errors`` for the tree; nothing was yielded before, except when a
                member is lost in mid-stream.
        """
        stopwatch = Stopwatch()
        StopMatcher(request.stopping.stop)
        validate(request.sampling)
        wanted = request.stopping.max_tokens or self._settings.default_max_tokens
        async with (
            self._gate.enter(),
            self._seat(request.prompt, self._decide(request), wanted) as seated,
        ):
            table, decision = seated.table, seated.decision
            ballot = _ballot(request, seated, wanted)
            yield Accepted(request.request_id or str(uuid.uuid4()), decision)
            table.start()
            generated = 0
            async with aclosing(_LOOPS[decision.alignment](table, ballot)) as steps:
                async for step in steps:
                    if isinstance(step, FinishReason):
                        yield Finished(step, self._usage(table, generated, stopwatch))
                        return
                    if isinstance(step, Delta):
                        stopwatch.token()
                        generated += len(step.tokens)
                    yield step

    async def score(self, request: ScoreRequest) -> Score:
        """Scores a continuation under a plan.

        Raises:
            QuorateError: See ``errors`` for the tree.
        """
        stopwatch = Stopwatch()
        if not request.continuation:
            raise InvalidRequest("continuation", "is empty; give the text to score")
        wanted = len(request.continuation.encode())
        async with (
            self._gate.enter(),
            self._seat(request.prompt, self._decide_for_score(request), wanted) as seated,
        ):
            table, decision = seated.table, seated.decision
            continuations = await _continuations(request.continuation, request.prompt, seated)
            table.start()
            tokens = await _scored(request.continuation, continuations, seated)
            return Score(
                request_id=request.request_id or str(uuid.uuid4()),
                decision=decision,
                logprob=sum(token.logprob for token in tokens),
                bytes=wanted,
                tokens=tuple(tokens),
                usage=self._usage(table, len(tokens), stopwatch),
                members=tuple(
                    _member_score(one, len(continuations[one.model])) for one in table.seats
                ),
            )

    def _decide(self, request: Request) -> Decision:
        seed = request.sampling.seed
        decision = choose_plan(
            request.plan,
            self._snapshot(),
            secrets.randbits(_SEED_BITS) if seed is None else seed,
        )
        if decision.alignment is not Alignment.SAME_VOCABULARY:
            validate_for_bytes(request.sampling)
        return decision

    def _decide_for_score(self, request: ScoreRequest) -> Decision:
        """Drops no member unasked: the rest of the sum would silently be of another plan."""
        decision = choose_plan(request.plan, self._snapshot(), 0)
        if decision.on_failure is not FailurePolicy.AUTO:
            return decision
        return replace(decision, on_failure=FailurePolicy.REPLAY)

    @asynccontextmanager
    async def _seat(
        self, prompt: Prompt, decision: Decision, wanted: int
    ) -> AsyncIterator[_Seated]:
        """Opens a session with each member."""
        models = [member.model for member in decision.members]
        with self._fleet.use(models) as engines:
            guests = await invite(decision, engines, prompt)
            table = await seat(decision, guests, prompt, wanted)
            try:
                await table.open()
                yield _Seated(decision, table, guests)
            finally:
                table.close()

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._fleet.statuses, self._profiles, self._default_profile)

    def _usage(self, table: Table[Any], generated: int, stopwatch: Stopwatch) -> Usage:
        return total_usage(
            table.usage(self._meter),
            generated,
            stopwatch.time_to_first_token_ms,
            stopwatch.duration_ms,
        )


async def _scored(
    text: str, continuations: Mapping[str, Sequence[int]], seated: _Seated
) -> list[Token]:
    """Scores a continuation in the way of the plan's alignment."""
    decision, first = seated.decision, seated.guests[0]
    if decision.alignment is Alignment.BYTE_EXACT:
        return await score_bytes(seated.table, decision.rule, text.encode())
    tokens, vocabulary = continuations[first.model], first.engine.vocabulary
    if decision.alignment is Alignment.UNION_TOP_K:
        pieces = [vocabulary.pieces[token] for token in tokens]
        return await score_union(seated.table, decision.rule, pieces)
    return await score(seated.table, vocabulary, decision.rule, tokens)


async def _continuation(text: str, prompt: Prompt, guest: Guest) -> list[int]:
    """The text to score in a member's tokens.

    At the very beginning of a document it is cut as such, with the space that some tokenizers put
    there.
    """
    if prompt != TextPrompt(""):
        return await guest.engine.encode_continuation(text)
    tokens = await guest.engine.encode(TextPrompt(text))
    start = len(guest.tokens)
    return tokens[start:] if tokens[:start] == guest.tokens else tokens


async def _continuations(text: str, prompt: Prompt, seated: _Seated) -> dict[str, list[int]]:
    """The text to score in every member's tokens, by model.

    Raises:
        InvalidRequest: A member has no tokens for it.
        PromptTooLong: It does not fit a member's context.
    """
    continuations = {}
    for guest in seated.guests:
        tokens = await _continuation(text, prompt, guest)
        if not tokens:
            raise InvalidRequest("continuation", "has no tokens; give text that can be scored")
        if len(tokens) > guest.room:
            raise PromptTooLong(
                "continuation",
                f"has {len(tokens)} tokens for model {guest.model}, and its context has room "
                f"for {guest.room}",
            )
        continuations[guest.model] = tokens
    return continuations


def _ballot(request: Request, seated: _Seated, wanted: int) -> Ballot:
    decision = seated.decision
    vocabulary, prompt = seated.guests[0].engine.vocabulary, seated.guests[0].tokens
    if decision.alignment is not Alignment.SAME_VOCABULARY:
        vocabulary, prompt = BYTES, ()
    room = min(guest.room for guest in seated.guests)
    return Ballot(
        vocabulary=vocabulary,
        rule=decision.rule,
        sampler=Sampler(request.sampling, len(vocabulary), decision.seed, prompt),
        stopping=request.stopping,
        response=request.response,
        most_tokens=min(wanted, room),
        at_limit=FinishReason.MAX_TOKENS if wanted <= room else FinishReason.CONTEXT_FULL,
    )


def _member_score(seat: Seat[Any], tokens: int) -> MemberScore:
    return MemberScore(
        model=seat.model,
        logprob=seat.logprob,
        tokens=tokens,
        forwards=seat.forwards,
        weight=seat.shares / max(1, seat.steps),
        dropped_mass=seat.dropped_mass,
    )
