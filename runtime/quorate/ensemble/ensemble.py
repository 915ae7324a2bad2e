"""The members of one request: distributions, weights, and how lost members are handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.member import Member
from quorate.ensemble.weighting import Weigher
from quorate.errors import Unavailable, WorkerLost
from quorate.request import FailurePolicy, ModelUsage, Notice, NoticeKind
from quorate.request.work import Work

_MAX_REPLAYS = 3
MASS_CUT_TOLD = 0.1
"""Probability taken from masked tokens in one step, above which the reader is told."""
_Symbol = TypeVar("_Symbol")


@dataclass(slots=True)
class Ensemble(Generic[_Symbol]):
    """The members of one request, told every symbol in lock-step.

    A member whose worker dies is dropped, replayed or fails the request, as ``policy`` says.

    Attributes:
        policy: What happens where one of them is lost.
        weights: Their weights in this step, summing to 1.
        notices: What happened since they were last taken.
        waited_seconds: Time spent waiting for sessions.
    """

    alignment: AlignmentStrategy[_Symbol]
    members: list[Member[_Symbol]]
    policy: FailurePolicy
    weigher: Weigher
    weights: list[float] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    waited_seconds: float = 0.0
    _everyone: tuple[Member[_Symbol], ...] = ()
    _pending: list[Awaitable[LogProbs]] = field(default_factory=list)
    _replays: int = 0
    _told_of_a_cut: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Keeps the first members, so that usage includes those that were dropped."""
        self._everyone = tuple(self.members)

    async def open(self) -> None:
        """Opens every member's session.

        In the order of the models' names, the same for every request: two requests that each hold
        what the other waits for cannot come about.
        """
        started = time.perf_counter()
        for member in sorted(self.members, key=lambda member: member.model):
            await member.predictor.open()
        self.waited_seconds += time.perf_counter() - started

    def start(self) -> None:
        """Starts every member on its own prompt, and on the answer so far where there is one."""
        self._pending = [member.start() for member in self.members]

    async def tell(self, symbol: _Symbol) -> None:
        """Starts every member on what follows the chosen symbol.

        Returns once that has left for the workers, whatever the caller does next.
        """
        self._pending = [member.predictor.feed(symbol) for member in self.members]
        await asyncio.sleep(0)

    def observe(self, rows: Sequence[LogProbs], symbol: int, size: int) -> None:
        """Notes what each member made of the chosen symbol, which has ``size`` bytes."""
        logprobs = [float(row[symbol]) for row in rows]
        for member, logprob, weight in zip(self.members, logprobs, self.weights, strict=True):
            member.observe(logprob, weight)
        self.weigher.observe(logprobs, size)

    async def distributions(self) -> list[LogProbs]:
        """Awaits every member's row, handles lost members and computes the weights of this step.

        Returns:
            Each member's log-probs in the order of ``members``; ``weights`` goes with them.

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
                self._note_cuts()
                self.weights = self.weigher.weights(rows)
                return rows
            await self.replay(lost)

    async def replay(self, lost: Mapping[str, WorkerLost]) -> None:
        """Starts every member on prompt and answer again once those that were lost are back.

        The others give up their sessions as well, or they would wait for one session while they
        hold others, against the order in which sessions are opened. Their tokens stay in the prefix
        caches meanwhile.

        Raises:
            WorkerLost: The policy does not go on without them, or they were lost too often.
            Unavailable: A member will not come back.
        """
        may_replay = self.policy in (FailurePolicy.AUTO, FailurePolicy.REPLAY)
        while may_replay and self._replays < _MAX_REPLAYS:
            self._replays += 1
            self.close()
            for member in self.members:
                await member.engine.wait_ready()
            try:
                await self.open()
            except Unavailable:
                # A member was lost again before its session was open.
                continue
            self.start()
            for model, error in lost.items():
                message = f"{model} was restarted ({error.cause}) and fed again"
                self.notices.append(Notice(NoticeKind.MEMBER_REPLAYED, model, message))
            return
        raise next(iter(lost.values()))

    def take_notices(self) -> list[Notice]:
        """Returns the notices since the last call."""
        taken, self.notices = self.notices, []
        return taken

    def close(self) -> None:
        """Frees every session. Idempotent."""
        for member in self.members:
            member.predictor.close()

    def usage(self) -> list[ModelUsage]:
        """What each member did, in the order of the plan, dropped ones included."""
        return [member.usage() for member in self._everyone]

    def work(self) -> dict[str, Work]:
        """What each member computed so far, by model, dropped ones included."""
        return {member.model: member.work for member in self._everyone}

    @property
    def was_disturbed(self) -> bool:
        """Whether a member was lost, so that what it took says nothing of another time."""
        return self._replays > 0 or len(self.members) < len(self._everyone)

    @property
    def length(self) -> int:
        """Tokens of the answer, of the member that needs most of them."""
        return max((member.predictor.length for member in self.members), default=0)

    async def _outcomes(self) -> tuple[list[LogProbs], dict[str, WorkerLost]]:
        """The rows of the members that live, and what befell the others, by model."""
        rows: list[LogProbs] = []
        lost: dict[str, WorkerLost] = {}
        for member, pending in zip(self.members, self._pending, strict=True):
            try:
                rows.append(await pending)
            except WorkerLost as error:
                lost[member.model] = error
        return rows, lost

    def _note_cuts(self) -> None:
        """Tells, once for each member, that much of what it wanted is nothing an answer holds."""
        for member in self.members:
            cut = member.predictor.masked_mass
            if cut > MASS_CUT_TOLD and member.model not in self._told_of_a_cut:
                self._told_of_a_cut.add(member.model)
                message = (
                    f"{member.model} gave {cut:.0%} of the probability to tokens that no answer "
                    "holds, such as padding; the others were scaled up"
                )
                self.notices.append(Notice(NoticeKind.MASS_CUT, member.model, message))

    def _drop(self, lost: Mapping[str, WorkerLost]) -> None:
        alive = [member for member in self.members if member.model not in lost]
        rest = ", ".join(member.model for member in alive)
        for index, member in reversed([*enumerate(self.members)]):
            if member.model not in lost:
                continue
            member.predictor.close()
            self.weigher.drop(index)
            message = f"{member.model} was dropped ({lost[member.model].cause}); {rest} goes on"
            self.notices.append(Notice(NoticeKind.MEMBER_DROPPED, member.model, message))
        self.members = alive
