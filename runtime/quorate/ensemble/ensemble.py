"""The members of one request: distributions, weights, and how lost members are handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.constraint import Constraint
from quorate.ensemble.cuts import Cuts
from quorate.ensemble.drafts.leading import Leader, Led, go_ahead
from quorate.ensemble.drafts.owing import catch_up, owe
from quorate.ensemble.losses import Losses, outcomes
from quorate.ensemble.member import Member
from quorate.ensemble.step_clock import StepClock, Took
from quorate.ensemble.weighting import Weigher
from quorate.errors import Unavailable, WorkerLost
from quorate.request import ModelUsage, Notice
from quorate.request.tool_format import AS_TEMPLATE, ToolFormat
from quorate.request.work import Work

_Symbol = TypeVar("_Symbol")
_Answer = TypeVar("_Answer")


async def at_once() -> None:
    """The turn of those who need not wait for any."""


@dataclass(slots=True)
class Ensemble(Generic[_Symbol]):
    """The members of one request, told every symbol in lock-step.

    A member whose worker dies is dropped, replayed or fails the request; ``losses`` decides.

    Attributes:
        losses: What becomes of lost members, and what became of those lost before this was made.
        constraint: What the answer must be; None where the alignment's own is all.
        scores: Whether a text is given that all members are to read, and none is chosen.
        voters: Those whose rows are asked for in this step: all members, or one of them alone.
        weights: Their weights in this step, summing to 1.
        waited_seconds: Time spent waiting for sessions.
        plan: Models of the plan in its order, those included that were lost before this was made.
        calls: How all members are asked to write calls of tools.
        turn: Waits until a step may be taken, or a guess made, once its rows are there.
        took: Times of the last rows.
        clock: Where the time of the steps goes.
        drafted: Symbols that were guessed ahead of the choice.
        accepted: Those of them that were chosen.
    """

    alignment: AlignmentStrategy[_Symbol]
    members: list[Member[_Symbol]]
    losses: Losses
    weigher: Weigher
    constraint: Constraint | None = None
    scores: bool = False
    voters: list[Member[_Symbol]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    waited_seconds: float = 0.0
    plan: Sequence[str] = ()
    calls: ToolFormat = AS_TEMPLATE
    turn: Callable[[], Awaitable[None]] = at_once
    took: Took = field(default_factory=lambda: Took(0.0, 0.0, 0.0))
    drafted: int = 0
    accepted: int = 0
    clock: StepClock = field(default_factory=StepClock)
    _everyone: dict[str, Member[_Symbol]] = field(default_factory=dict)
    _pending: list[Awaitable[LogProbs]] = field(default_factory=list)
    _cuts: Cuts = field(default_factory=Cuts)
    _led: Led[_Symbol] | None = None
    _ahead: Sequence[_Symbol] = ()
    _told_at: float = 0.0

    def __post_init__(self) -> None:
        """Keeps the first members, so that usage includes those that were dropped."""
        self._everyone = {member.model: member for member in self.members}
        self.plan = self.plan or [*self._everyone]

    async def open(self) -> None:
        """Opens every member's session.

        In the order of the models' names, the same for every request: two requests that each hold
        what the other waits for cannot come about.

        Raises:
            Unavailable: A member was lost, and the policy neither goes on without it nor waits.
        """
        started = time.perf_counter()
        while lost := await self._open_each():
            if self._goes_on(lost):
                self._drop(lost)
                break
            await self._wait(lost)
        self.losses.begun = True
        self.waited_seconds += time.perf_counter() - started

    async def ask(
        self, question: Callable[[Member[_Symbol]], Coroutine[Any, Any, _Answer]]
    ) -> dict[str, _Answer]:
        """Asks every member something, once sessions are open and before any has started.

        Returns:
            What they said, by model.

        Raises:
            Unavailable: A member was lost, and the policy neither goes on without it nor waits.
            QuorateError: What a question raises that is no loss.
        """
        answers: dict[str, _Answer] = {}
        while True:
            left = [member for member in self.members if member.model not in answers]
            asked = {member.model: question(member) for member in left}
            given, lost = await outcomes(asked, self._goes_on)
            answers |= given
            if not lost:
                return {model: answers[model] for model in self._models}
            if self._goes_on(lost):
                self._drop(lost)
            else:
                await self._wait(lost)
                await self.open()

    def start(self, ahead: Sequence[_Symbol] = ()) -> None:
        """Starts every member on its prompt, and on the answer so far; ``ahead`` as in ``tell``."""
        self.voters, self._ahead = self.members, ahead
        self._pending = [member.start(ahead) for member in self.members]

    async def tell(self, symbol: _Symbol, ahead: Sequence[_Symbol] = ()) -> None:
        """Starts every member on what follows the chosen symbol.

        It has left for the workers then. ``ahead`` is probably told next, see ``Predictor.feed``.
        """
        self.clock.tell(self.worked_seconds)
        self._told_at = time.perf_counter()
        self.voters = self.members
        self._pending = [member.predictor.feed(symbol, ahead) for member in self.members]
        await asyncio.sleep(0)

    async def tell_one(self, symbol: _Symbol, voter: Member[_Symbol]) -> None:
        """Starts one member on what follows the chosen symbol, on which it then votes alone.

        The others owe the symbol, see ``OwesSymbols``, until they are told one again. Where the one
        is lost they are all asked, so that whoever chooses looks for the voters anew.
        """
        self.clock.tell(self.worked_seconds)
        self._told_at = time.perf_counter()
        self.voters = [voter]
        self._pending = [voter.predictor.feed(symbol)]
        owe((member for member in self.members if member is not voter), symbol)
        await asyncio.sleep(0)

    async def lead(self, symbol: _Symbol, leader: Leader[_Symbol]) -> None:
        """Starts one member on what follows the chosen symbol, and has it go ahead.

        The others follow when ``distributions`` is awaited: in one block along its guesses. Where
        it is no member any longer everybody is told.
        """
        at = self._models.index(leader.model) if leader.model in self._models else None
        if at is None:
            await self.tell(symbol)
            return
        self.clock.tell(self.worked_seconds)
        self._told_at = time.perf_counter()
        self.voters = self.members
        self._led = Led(symbol, leader, at, self.members[at].predictor.feed(symbol))
        await asyncio.sleep(0)

    def observe(self, rows: Sequence[LogProbs], symbol: int, size: int, free: bool = True) -> None:
        """Notes what each member made of the chosen symbol of so many bytes; whether freely so."""
        logprobs = [float(row[symbol]) for row in rows]
        for member, logprob, weight in zip(self.voters, logprobs, self.weights, strict=True):
            member.observe(logprob, weight)
        if not self.everybody_votes:
            self.voters[0].lone += 1
        elif free:
            self.weigher.observe(logprobs, size)

    async def distributions(self) -> list[LogProbs]:
        """Awaits every member's row, handles lost members and computes the weights of this step.

        Returns:
            Log-probs of those who vote in the order of ``voters``; ``weights`` goes with them.

        Raises:
            WorkerLost: A member died and the policy does not go on without it.
            Unavailable: A member died and will not come back.
        """
        told_at, entered_at = self._told_at, time.perf_counter()
        if self._led is not None:
            await self._follow(self._led)
            self.clock.led(self.worked_seconds)
        followed_at = time.perf_counter()
        while True:
            rows, lost = await self._outcomes()
            if lost and not self._goes_on(lost):
                await self.replay(lost)
                continue
            if lost:
                self._drop(lost)
            if not self.voters:
                self.voters = self.members
                self._pending = self._catch_up()
                continue
            for member in self.voters:
                self.note_cut(member.model, member.predictor.masked_mass)
            self.took = Took(
                entered_at - told_at, followed_at - told_at, time.perf_counter() - told_at
            )
            self.clock.rows(self.worked_seconds)
            await self.turn()
            self.clock.turn()
            self.weights = self.weigher.weights(rows) if self.everybody_votes else [1.0]
            return rows

    async def replay(self, lost: Mapping[str, Unavailable]) -> None:
        """Starts every member on prompt and answer again once those that were lost are back.

        Raises:
            WorkerLost: The policy does not go on without them, or they were lost too often.
            Unavailable: A member will not come back.
        """
        await self._wait(lost, "was restarted and fed again")
        await self.open()
        # What a worker may have died of is known by all that it was first given.
        self.start(() if self.length else self._ahead)

    def note_cut(self, model: str, cut: float) -> None:
        """Notes what the mask took from a row of a member; told once, where it was much."""
        if (notice := self._cuts.notice(model, cut)) is not None:
            self.notices.append(notice)

    @property
    def notices(self) -> list[Notice]:
        """What happened since it was last taken, for more to be added."""
        return self.losses.notices

    def take_notices(self) -> list[Notice]:
        """Returns the notices since the last call."""
        return self.losses.take_notices()

    def close(self) -> None:
        """Frees every session. Idempotent."""
        for member in self.members:
            member.predictor.close()

    def usage(self) -> list[ModelUsage]:
        """What each member did, in the order of the plan, dropped ones included."""
        return [
            self._everyone[model].usage() if model in self._everyone else ModelUsage(model)
            for model in self.plan
        ]

    def work(self) -> dict[str, Work]:
        """What each member computed so far, by model, dropped ones included."""
        return {model: member.work for model, member in self._everyone.items()}

    @property
    def everybody_votes(self) -> bool:
        """Whether this step asks all members, and not one of several."""
        return len(self.voters) == len(self.members)

    @property
    def worked_seconds(self) -> list[float]:
        """For how long each member's engine has worked so far, for anybody."""
        return [member.engine.worked_seconds for member in self.members]

    @property
    def was_disturbed(self) -> bool:
        """Whether a member was lost, so that what it took says nothing of another time."""
        return bool(self.losses.waited or self.losses.dropped)

    @property
    def reach(self) -> int:
        """Symbols that are worth telling ahead: as far as those look who look ahead at all."""
        return min((reach for one in self.members if (reach := one.predictor.reach)), default=0)

    @property
    def length(self) -> int:
        """Tokens of the answer, of the member that needs most of them."""
        return max((member.predictor.length for member in self.members), default=0)

    @property
    def _models(self) -> list[str]:
        return [member.model for member in self.members]

    def _goes_on(self, lost: Mapping[str, Unavailable]) -> bool:
        return self.losses.goes_on(lost, self._models)

    async def _open_each(self) -> dict[str, Unavailable]:
        """Opens sessions; returns what befell those that were lost before they had one."""
        lost: dict[str, Unavailable] = {}
        for member in sorted(self.members, key=lambda member: member.model):
            try:
                await member.predictor.open()
            except Unavailable as error:
                lost[member.model] = error
                if not self._goes_on(lost):
                    break
        return lost

    async def _wait(self, lost: Mapping[str, Unavailable], told: str = "was waited for") -> None:
        """Waits until lost members are back, or drops those that will not be.

        The others give up their sessions as well, or they would wait for one session while they
        hold others, against the order in which sessions are opened. Their tokens stay in the prefix
        caches meanwhile.
        """
        self.close()
        engines = {member.model: member.engine for member in self.members}
        self._drop(await self.losses.wait(lost, engines, told))

    async def _follow(self, led: Led[_Symbol]) -> None:
        """Has one member go ahead, and feeds the others what it guesses."""
        self._led = None
        predictor: Any = self.members[led.at].predictor
        first, draft = await go_ahead(predictor, led.pending, led.leader, self.turn)
        self._pending = [
            first if at == led.at else member.predictor.feed(led.symbol, draft)
            for at, member in enumerate(self.members)
        ]

    def _catch_up(self) -> list[Awaitable[LogProbs]]:
        """Starts every member on what follows all that was chosen."""
        return catch_up(self.members)

    async def _outcomes(self) -> tuple[list[LogProbs], dict[str, WorkerLost]]:
        """The rows of the voters that live, and what befell the others, by model."""
        rows: list[LogProbs] = []
        lost: dict[str, WorkerLost] = {}
        for member, pending in zip(self.voters, self._pending, strict=True):
            try:
                rows.append(await pending)
            except WorkerLost as error:
                lost[member.model] = error
        return rows, lost

    def _drop(self, lost: Mapping[str, Unavailable]) -> None:
        self.losses.drop(lost, self._models)
        for index, member in reversed([*enumerate(self.members)]):
            if member.model in lost:
                member.predictor.close()
                self.weigher.drop(index)
        self.members = [member for member in self.members if member.model not in lost]
        self.voters = [member for member in self.voters if member.model not in lost]
