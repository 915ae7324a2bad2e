"""The members of one request at the table: their sessions, their weights, and what befalls them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from quorate.engines.contract import Engine, LogProbs, Session
from quorate.errors import WorkerLost
from quorate.generation import FailurePolicy, ModelUsage, Notice, NoticeKind
from quorate.measurement.energy import EnergyMeter

_MOST_REPLAYS = 3


@dataclass(slots=True)
class Seat:
    """One member.

    Attributes:
        weight: Its share; the shares of all seats sum to 1.
        prompt: The prompt in the member's own tokens.
        reserve: Tokens its session may grow to.
    """

    model: str
    engine: Engine
    weight: float
    prompt: Sequence[int]
    reserve: int
    session: Session | None = None
    fed: int = 0
    busy_seconds: float = 0.0
    cached: int = 0

    async def open(self) -> None:
        """Opens the member's session; see ``Engine.open`` for what it waits for and raises."""
        self.session = await self.engine.open(self.reserve)

    def feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Starts feeding tokens to the open session."""
        if self.session is None:
            raise RuntimeError(f"seat of {self.model} fed before it was opened")
        self.fed += len(tokens)
        return self.session.feed(tokens)

    def close(self) -> None:
        """Frees the session, keeping what it measured."""
        if self.session is None:
            return
        self.busy_seconds += self.session.busy_seconds
        self.cached = max(self.cached, self.session.cached_tokens)
        self.session.close()
        self.session = None

    def usage(self, meter: EnergyMeter) -> ModelUsage:
        """What this member spent so far."""
        session = self.session
        busy = self.busy_seconds + (session.busy_seconds if session else 0.0)
        return ModelUsage(
            model=self.model,
            prompt_tokens=len(self.prompt),
            cached_prompt_tokens=max(self.cached, session.cached_tokens if session else 0),
            generated_tokens=max(0, self.fed - len(self.prompt)),
            busy_ms=busy * 1000.0,
            energy=meter.attribute(self.model, busy),
        )


@dataclass(slots=True)
class Table:
    """The seats of one request, fed in lock-step.

    A member whose worker dies is dropped, replayed or fails the request, as ``policy`` says.

    Attributes:
        seats: Members still voting.
        notices: What happened since they were last taken.
    """

    seats: list[Seat]
    policy: FailurePolicy
    notices: list[Notice] = field(default_factory=list)
    _dropped: list[Seat] = field(default_factory=list)
    _answer: list[int] = field(default_factory=list)
    _pending: list[Awaitable[LogProbs]] = field(default_factory=list)
    _replays: int = 0

    async def open(self) -> None:
        """Opens every member's session.

        In the order of the models' names, the same for every request: two requests that each hold
        what the other waits for cannot come about.
        """
        for seat in sorted(self.seats, key=lambda seat: seat.model):
            await seat.open()

    def feed_prompts(self) -> None:
        """Starts every member on its own prompt."""
        self._pending = [seat.feed(seat.prompt) for seat in self.seats]

    def feed(self, token: int) -> None:
        """Starts every member on the chosen token."""
        self._answer.append(token)
        tokens = (token,)
        self._pending = [seat.feed(tokens) for seat in self.seats]

    async def rows(self) -> list[LogProbs]:
        """Waits for what was started; returns each seat's log-probs in the order of ``seats``.

        Raises:
            WorkerLost: A member died and the policy does not go on without it.
        """
        rows: list[LogProbs] = []
        lost: list[tuple[Seat, WorkerLost]] = []
        alive: list[Seat] = []
        for seat, pending in zip(self.seats, self._pending, strict=True):
            try:
                rows.append(await pending)
                alive.append(seat)
            except WorkerLost as error:
                lost.append((seat, error))
        if not lost:
            return rows
        if self._may_continue(alive):
            self._drop(alive, lost)
            return rows
        return await self._replay_all(rows, alive, lost)

    @property
    def weights(self) -> list[float]:
        """Shares of the seats, summing to 1."""
        return [seat.weight for seat in self.seats]

    def take_notices(self) -> list[Notice]:
        """Returns the notices since the last call."""
        taken, self.notices = self.notices, []
        return taken

    def close(self) -> None:
        """Frees every session. Idempotent."""
        for seat in self.seats:
            seat.close()

    def usage(self, meter: EnergyMeter) -> list[ModelUsage]:
        """What each member spent, dropped ones included."""
        return [seat.usage(meter) for seat in (*self.seats, *self._dropped)]

    def _may_continue(self, alive: Sequence[Seat]) -> bool:
        return bool(alive) and self.policy in (FailurePolicy.AUTO, FailurePolicy.CONTINUE)

    def _drop(self, alive: list[Seat], lost: Sequence[tuple[Seat, WorkerLost]]) -> None:
        for seat, error in lost:
            seat.close()
            self._dropped.append(seat)
            self.notices.append(
                Notice(
                    NoticeKind.MEMBER_DROPPED,
                    seat.model,
                    f"{seat.model} was dropped ({error.cause}); "
                    f"{', '.join(s.model for s in alive)} goes on",
                )
            )
        total = sum(seat.weight for seat in alive)
        for seat in alive:
            seat.weight /= total
        self.seats = alive

    async def _replay_all(
        self,
        rows: Sequence[LogProbs],
        alive: Sequence[Seat],
        lost: Sequence[tuple[Seat, WorkerLost]],
    ) -> list[LogProbs]:
        if self.policy in (FailurePolicy.FAIL, FailurePolicy.CONTINUE):
            raise lost[0][1]
        by_model = {seat.model: row for seat, row in zip(alive, rows, strict=True)}
        for seat, error in lost:
            by_model[seat.model] = await self._replay(seat, error)
        return [by_model[seat.model] for seat in self.seats]

    async def _replay(self, seat: Seat, error: WorkerLost) -> LogProbs:
        """Feeds prompt and answer again once the member is back."""
        while self._replays < _MOST_REPLAYS:
            self._replays += 1
            seat.close()
            await seat.engine.wait_ready()
            try:
                await seat.open()
                row = await seat.feed((*seat.prompt, *self._answer))
            except WorkerLost as again:
                error = again
                continue
            self.notices.append(
                Notice(
                    NoticeKind.MEMBER_REPLAYED,
                    seat.model,
                    f"{seat.model} was restarted ({error.cause}) and fed again",
                )
            )
            return row
        raise error
