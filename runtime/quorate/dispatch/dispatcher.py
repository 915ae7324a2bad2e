"""The way of one request through the house."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from quorate.accounting.usage import total_usage
from quorate.dispatch.gate import Gate
from quorate.dispatch.settings import DispatchSettings
from quorate.engines.contract import Engine
from quorate.engines.fleet import Fleet
from quorate.ensemble.decode import Ballot, decode
from quorate.ensemble.sampling import Sampler
from quorate.ensemble.sampling_options import validate
from quorate.ensemble.scoring import score
from quorate.ensemble.seats import Seat, Table
from quorate.ensemble.stops import StopMatcher
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.generation import (
    Accepted,
    Decision,
    Delta,
    Event,
    FailurePolicy,
    Finished,
    FinishReason,
    Plan,
    Prompt,
    Request,
    Score,
    ScoreRequest,
    TextPrompt,
    Usage,
)
from quorate.measurement.energy import EnergyMeter, NoMeter
from quorate.measurement.stopwatch import Stopwatch
from quorate.routing.choose import choose_plan
from quorate.routing.snapshot import Snapshot

_SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class _Seated:
    """A request whose members' sessions are open."""

    decision: Decision
    table: Table
    engine: Engine
    room: int


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
            table.feed_prompts()
            generated = 0
            async with aclosing(decode(table, ballot)) as steps:
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
            table = seated.table
            continuation = await seated.engine.encode_continuation(request.continuation)
            if not continuation:
                raise InvalidRequest("continuation", "has no tokens; give text that can be scored")
            if len(continuation) > seated.room:
                raise PromptTooLong(
                    "continuation",
                    f"has {len(continuation)} tokens, and the context has room for {seated.room}",
                )
            table.feed_prompts()
            tokens = await score(
                table, seated.engine.vocabulary, seated.decision.rule, continuation
            )
            return Score(
                request_id=request.request_id or str(uuid.uuid4()),
                decision=seated.decision,
                logprob=sum(token.logprob for token in tokens),
                bytes=len(request.continuation.encode()),
                tokens=tuple(tokens),
                usage=self._usage(table, len(tokens), stopwatch),
            )

    def _decide(self, request: Request) -> Decision:
        seed = request.sampling.seed
        return choose_plan(
            request.plan,
            self._snapshot(),
            secrets.randbits(_SEED_BITS) if seed is None else seed,
        )

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
            prompts = await asyncio.gather(*(engine.encode(prompt) for engine in engines))
            room = _room(prompt, models, engines, prompts)
            growth = min(wanted, room)
            table = Table(
                [
                    Seat(member.model, engine, member.weight or 0.0, ids, len(ids) + growth)
                    for member, engine, ids in zip(decision.members, engines, prompts, strict=True)
                ],
                decision.on_failure,
            )
            try:
                await table.open()
                yield _Seated(decision, table, engines[0], room)
            finally:
                table.close()

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._fleet.statuses, self._profiles, self._default_profile)

    def _usage(self, table: Table, generated: int, stopwatch: Stopwatch) -> Usage:
        return total_usage(
            table.usage(self._meter),
            generated,
            stopwatch.time_to_first_token_ms,
            stopwatch.duration_ms,
        )


def _ballot(request: Request, seated: _Seated, wanted: int) -> Ballot:
    decision = seated.decision
    vocabulary = seated.engine.vocabulary
    return Ballot(
        vocabulary=vocabulary,
        rule=decision.rule,
        sampler=Sampler(
            request.sampling, len(vocabulary), decision.seed, seated.table.seats[0].prompt
        ),
        stopping=request.stopping,
        response=request.response,
        most_tokens=min(wanted, seated.room),
        at_limit=FinishReason.MAX_TOKENS if wanted <= seated.room else FinishReason.CONTEXT_FULL,
    )


def _room(
    prompt: Prompt,
    models: Sequence[str],
    engines: Sequence[Engine],
    prompts: Sequence[Sequence[int]],
) -> int:
    """Tokens the answer may have until the fullest member's context ends.

    Raises:
        InvalidRequest: The prompt has no tokens at all.
        PromptTooLong: The prompt leaves no room for an answer.
    """
    field = "prompt" if isinstance(prompt, TextPrompt) else "chat"
    rooms = []
    for model, engine, ids in zip(models, engines, prompts, strict=True):
        if not ids:
            raise InvalidRequest(field, f"is empty for model {model}, which needs at least a token")
        holds = min(engine.facts.context_length, engine.facts.cells)
        if len(ids) >= holds:
            raise PromptTooLong(
                field,
                f"has {len(ids)} tokens for model {model}, whose context holds {holds} "
                "with the answer; shorten it",
            )
        rooms.append(holds - len(ids))
    return min(rooms)
