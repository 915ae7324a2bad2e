"""The members of one request at the table: their sessions, their weights, and what befalls them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from quorate.engines.contract import Engine, LogProbs, Session
from quorate.errors import Unavailable, WorkerLost
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
        fed: Tokens its session was given, or the longest of its sessions after a replay.
        cached: Of the first session's prompt, the tokens found in the prefix cache.
    """

    model: str
    engine: Engine
    weight: float
    prompt: Sequence[int]
    reserve: int
    session: Session | None = None
    fed: int = 0
    busy_seconds: float = 0.0
    cached: int | None = None
    _held: int = 0

    async def open(self) -> None:
        """Opens the member's session; see ``Engine.open`` for what it waits for and raises."""
        self.session = await self.engine.open(self.reserve)
        self._held = 0

    def feed(self, tokens: Sequence[int]) -> Awaitable[LogProbs]:
        """Starts feeding tokens to the open session."""
        if self.session is None:
            raise RuntimeError(f"seat of {self.model} fed before it was opened")
        self._held += len(tokens)
        self.fed = max(self.fed, self._held)
        return self.session.feed(tokens)

    def close(self) -> None:
        """Frees the session, keeping what it measured."""
        if self.session is None:
            return
        self.busy_seconds += self.session.busy_seconds
        if self.cached is None:
            self.cached = self.session.cached_tokens
        self.session.close()
        self.session = None

    def usage(self, meter: EnergyMeter) -> ModelUsage:
        """What this member spent so far."""
        session = self.session
        busy = self.busy_seconds + (session.busy_seconds if session else 0.0)
        cached = self.cached
        if cached is None:
            cached = session.cached_tokens if session else 0
        return ModelUsage(
            model=self.model,
            prompt_tokens=len(self.prompt),
            cached_prompt_tokens=cached,
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
    _members: tuple[Seat, ...] = ()
    _answer: list[int] = field(default_factory=list)
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
        for seat in sorted(self.seats, key=lambda seat: seat.model):
            await seat.open()

    def feed_prompts(self) -> None:
        """Starts every member on its own prompt, and on the answer so far where there is one."""
        self._pending = [seat.feed((*seat.prompt, *self._answer)) for seat in self.seats]

    def feed(self, token: int) -> None:
        """Starts every member on the chosen token."""
        self._answer.append(token)
        tokens = (token,)
        self._pending = [seat.feed(tokens) for seat in self.seats]

    async def rows(self) -> list[LogProbs]:
        """Waits for what was started; returns each seat's log-probs in the order of ``seats``.

        Raises:
            WorkerLost: A member died and the policy does not go on without it.
            Unavailable: A member died and will not come back.
        """
        while True:
            rows, lost = await self._outcomes()
            if not lost:
                return rows
            if rows and self.policy in (FailurePolicy.AUTO, FailurePolicy.CONTINUE):
                self._drop(lost)
                return rows
            await self._replay(lost)

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
        """What each member spent, in the order of the plan, dropped ones included."""
        return [seat.usage(meter) for seat in self._members]

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
        for seat in self.seats:
            if seat.model not in lost:
                continue
            seat.close()
            told = f"{seat.model} was dropped ({lost[seat.model].cause}); {rest} goes on"
            self.notices.append(Notice(NoticeKind.MEMBER_DROPPED, seat.model, told))
        total = sum(seat.weight for seat in alive)
        for seat in alive:
            seat.weight /= total
        self.seats = alive

    async def _replay(self, lost: Mapping[str, WorkerLost]) -> None:
        """Starts every member on prompt and answer again once those that were lost are back.

        The others give up their sessions as well, or they would wait for one session while they
        hold others, against the order in which sessions are opened. Their tokens stay in the prefix
        caches meanwhile.
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
            self.feed_prompts()
            for model, error in lost.items():
                told = f"{model} was restarted ({error.cause}) and fed again"
                self.notices.append(Notice(NoticeKind.MEMBER_REPLAYED, model, told))
            return
        raise next(iter(lost.values()))
