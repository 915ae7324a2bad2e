"""The members of one request at the table: their voices, their weights, and what befalls them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from quorate.engines.contract import Engine, LogProbs
from quorate.ensemble.voices import Voice
from quorate.ensemble.weighting import Weigher
from quorate.errors import Unavailable, WorkerLost
from quorate.request import FailurePolicy, ModelUsage, Notice, NoticeKind
from quorate.request.work import Work

_MOST_REPLAYS = 3
_Symbol = TypeVar("_Symbol")


@dataclass(slots=True)
class Seat(Generic[_Symbol]):
    """One member.

    Attributes:
        voice: How it speaks.
        prompt_tokens: Tokens of the prompt in the member's own tokenizer.
        read_tokens: Tokens it read before, to learn what it makes of the prompt.
        started: Whether it was given its prompt.
        logprob: What it alone thinks of the answer so far, in nats.
        shares: Sum of its weights over the steps so far.
        steps: Steps so far.
    """

    model: str
    engine: Engine
    voice: Voice[_Symbol]
    prompt_tokens: int
    read_tokens: int = 0
    started: bool = False
    logprob: float = 0.0
    shares: float = 0.0
    steps: int = 0

    def observe(self, logprob: float, weight: float) -> None:
        """Notes what the member made of the chosen symbol, and what it weighed."""
        self.logprob += logprob
        self.shares += weight
        self.steps += 1

    @property
    def forwards(self) -> int:
        """Tokens fed beyond the prompt."""
        return self.voice.forwards

    @property
    def dropped_mass(self) -> float | None:
        """Probability that was pruned, for each step; None where nothing ever is."""
        dropped = self.voice.dropped_mass
        return None if dropped is None else dropped / max(1, self.steps)

    def start(self) -> Awaitable[LogProbs]:
        """Starts the member on its prompt, and on the answer so far where there is one."""
        self.started = True
        return self.voice.start()

    @property
    def work(self) -> Work:
        """What it computed so far. Tokens that are on their way count."""
        prompt = self.prompt_tokens if self.started else 0
        prefill = self.read_tokens + max(0, prompt - self.voice.cached_tokens)
        decoded = self.forwards
        # Each token attends to the prompt, and to half of those before it on average.
        return Work(prefill, decoded, decoded * (self.prompt_tokens + decoded // 2))

    def usage(self) -> ModelUsage:
        """What this member did so far; its energy is not known here."""
        return ModelUsage(
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            cached_prompt_tokens=self.voice.cached_tokens,
            generated_tokens=self.forwards,
            busy_ms=self.voice.busy_seconds * 1000.0,
            dropped_mass=self.dropped_mass,
        )


@dataclass(slots=True)
class Table(Generic[_Symbol]):
    """The seats of one request, told every symbol in lock-step.

    A member whose worker dies is dropped, replayed or fails the request, as ``policy`` says.

    Attributes:
        seats: Members still voting.
        weigher: Gives their weights.
        weights: Their weights in this step, summing to 1.
        notices: What happened since they were last taken.
        waited_seconds: Time spent waiting for sessions.
    """

    seats: list[Seat[_Symbol]]
    policy: FailurePolicy
    weigher: Weigher
    weights: list[float] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    waited_seconds: float = 0.0
    _members: tuple[Seat[_Symbol], ...] = ()
    _pending: list[Awaitable[LogProbs]] = field(default_factory=list)
    _replays: int = 0

    def __post_init__(self) -> None:
        """Remembers everyone, so that the usage of a member that is dropped is told too."""
        self._members = tuple(self.seats)

    async def open(self) -> None:
        """Opens every member's session.

        In the order of the models' names, the same for every request: two requests that each hold
        what the other waits for cannot come about.
        """
        started = time.perf_counter()
        for seat in sorted(self.seats, key=lambda seat: seat.model):
            await seat.voice.open()
        self.waited_seconds += time.perf_counter() - started

    def start(self) -> None:
        """Starts every member on its own prompt, and on the answer so far where there is one."""
        self._pending = [seat.start() for seat in self.seats]

    def feed(self, symbol: _Symbol) -> None:
        """Starts every member on what follows the chosen symbol."""
        self._pending = [seat.voice.feed(symbol) for seat in self.seats]

    async def tell(self, symbol: _Symbol) -> None:
        """As ``feed``; returns once it has left for the workers, whatever the caller does next."""
        self.feed(symbol)
        await asyncio.sleep(0)

    def observe(self, rows: Sequence[LogProbs], symbol: int, size: int) -> None:
        """Notes what each member made of the chosen symbol, which has ``size`` bytes."""
        logprobs = [float(row[symbol]) for row in rows]
        for seat, logprob, weight in zip(self.seats, logprobs, self.weights, strict=True):
            seat.observe(logprob, weight)
        self.weigher.observe(logprobs, size)

    async def rows(self) -> list[LogProbs]:
        """Waits for what was started, and weighs it.

        Returns:
            Each seat's log-probs in the order of ``seats``; ``weights`` goes with them.

        Raises:
            WorkerLost: A member died and the policy does not go on without it.
            Unavailable: A member died and will not come back.
        """
        while True:
            rows, lost = await self._outcomes()
            going_on = rows and self.policy in (FailurePolicy.AUTO, FailurePolicy.CONTINUE)
            if not lost or going_on:
                if lost:
                    self._drop(lost)
                self.weights = self.weigher.weights(rows)
                return rows
            await self.replay(lost)

    async def replay(self, lost: Mapping[str, WorkerLost]) -> None:
        """Starts every member on prompt and answer again once those that were lost are back.

        The others give up their sessions as well, or they would wait for one session while they
        hold others, against the order in which sessions are opened. Their tokens stay in the prefix
        caches meanwhile.

        Args:
            lost: What befell whom, by model.

        Raises:
            WorkerLost: The policy does not go on without them, or they were lost too often.
            Unavailable: A member will not come back.
        """
        may_replay = self.policy in (FailurePolicy.AUTO, FailurePolicy.REPLAY)
        while may_replay and self._replays < _MOST_REPLAYS:
            self._replays += 1
            self.close()
            for seat in self.seats:
                await seat.engine.wait_ready()
            try:
                await self.open()
            except Unavailable:
                # A member was lost again before its session was open.
                continue
            self.start()
            for model, error in lost.items():
                told = f"{model} was restarted ({error.cause}) and fed again"
                self.notices.append(Notice(NoticeKind.MEMBER_REPLAYED, model, told))
            return
        raise next(iter(lost.values()))

    def take_notices(self) -> list[Notice]:
        """Returns the notices since the last call."""
        taken, self.notices = self.notices, []
        return taken

    def close(self) -> None:
        """Frees every session. Idempotent."""
        for seat in self.seats:
            seat.voice.close()

    def usage(self) -> list[ModelUsage]:
        """What each member did, in the order of the plan, dropped ones included."""
        return [seat.usage() for seat in self._members]

    def work(self) -> dict[str, Work]:
        """What each member computed so far, by model, dropped ones included."""
        return {seat.model: seat.work for seat in self._members}

    @property
    def was_disturbed(self) -> bool:
        """Whether a member was lost, so that what it took says nothing of another time."""
        return self._replays > 0 or len(self.seats) < len(self._members)

    @property
    def length(self) -> int:
        """Tokens of the answer, of the member that needs most of them."""
        return max((seat.voice.length for seat in self.seats), default=0)

    async def _outcomes(self) -> tuple[list[LogProbs], dict[str, WorkerLost]]:
        """The rows of the members that live, and what befell the others, by model."""
        rows: list[LogProbs] = []
        lost: dict[str, WorkerLost] = {}
        for seat, pending in zip(self.seats, self._pending, strict=True):
            try:
                rows.append(await pending)
            except WorkerLost as error:
                lost[seat.model] = error
        return rows, lost

    def _drop(self, lost: Mapping[str, WorkerLost]) -> None:
        alive = [seat for seat in self.seats if seat.model not in lost]
        rest = ", ".join(seat.model for seat in alive)
        for index, seat in reversed([*enumerate(self.seats)]):
            if seat.model not in lost:
                continue
            seat.voice.close()
            self.weigher.drop(index)
            told = f"{seat.model} was dropped ({lost[seat.model].cause}); {rest} goes on"
            self.notices.append(Notice(NoticeKind.MEMBER_DROPPED, seat.model, told))
        self.seats = alive
