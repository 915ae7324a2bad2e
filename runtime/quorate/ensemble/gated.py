"""Votes in which one member goes on alone while it is sure, and the others are asked where not.

At most tokens members agree, and what a vote adds it adds where the one that leads is unsure
(AdaFuse, arXiv 2601.06022; SAFE, arXiv 2510.15346). So that one goes on alone while the margin
between its two most probable symbols is wide, and the others owe what was chosen: where it is
narrow they read that in one call, and the vote of all chooses. With a small member that leads, and
large weights of others, it is the token-level cascade of R2R (arXiv 2505.21600).

What an answer is follows from the rows alone, and from nobody's times.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.owing import OwesSymbols
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.guesses import Begun, Ready
from quorate.ensemble.guided import masked_row
from quorate.ensemble.member import Member
from quorate.sampling.peaks import FEW_ENTRIES, Maxima, Peaks

_MOST_OWED = 128
"""Symbols that a member owes at most, so that what they take of its context is known in time."""

_STEP = 0.05
"""How far one symbol moves a threshold that is found while an answer is made."""

_Symbol = TypeVar("_Symbol")


def margin(row: LogProbs, maxima: Maxima | None = None) -> float:
    """Difference between the probabilities of the two most probable symbols, in [0, 1].

    Args:
        row: Log-probs of at least one symbol, float32.
        maxima: Of the row, where they are known.
    """
    if len(row) < 2:
        return 1.0
    if len(row) > FEW_ENTRIES:
        peaks = Peaks([row], [maxima])
        row = row[peaks.reaching(peaks.bound(2))]
    second, first = np.partition(row, -2)[-2:]
    return math.exp(min(0.0, float(first))) - math.exp(min(0.0, float(second)))


@dataclass(slots=True)
class Gate:
    """Who goes on alone, and how sure it must be.

    Attributes:
        leader: Model of the member that does.
        threshold: Least margin with which it does: 0 is the leader alone, 1 the vote of all.
        share: Share of symbols at which the others are asked; the threshold then moves towards what
            asks so often, from where it begins. None leaves it where it is.
    """

    leader: str
    threshold: float
    share: float | None = None

    def asks(self, margin: float) -> bool:
        """Whether the others are asked, where the leader has so much of a margin.

        With a share each answer moves the threshold, so that of many answers that share is yes
        (the stochastic approximation of a quantile: Robbins and Monro 1951).
        """
        asks = margin < self.threshold or self.threshold >= 1.0
        if self.share is not None:
            moved = self.threshold + _STEP * (self.share - float(asks))
            self.threshold = min(max(moved, 0.0), 1.0)
        return asks


@dataclass(slots=True)
class GatedEnsemble(Ensemble[_Symbol]):
    """``Ensemble`` with a gate. Where the leader is lost the others go on with the vote of all.

    Attributes:
        gate: Who goes on alone, and when.
    """

    gate: Gate = field(kw_only=True)
    # Members that were started on the prompt.
    _started: set[str] = field(default_factory=set)
    # Whose rows are known, and were not asked for.
    _unasked: Sequence[tuple[Member[_Symbol], LogProbs]] = ()

    def start(self, ahead: Sequence[_Symbol] = ()) -> None:
        """See ``Ensemble``; the others wait until they are asked for the first time.

        Where a text is scored it is known to everybody, and all of them read it in blocks.
        """
        leader = self._leader
        if self.scores:
            Ensemble.start(self, ahead)
            return
        self._ahead, self._started = ahead, set()
        self.voters = self.members if leader is None else [leader]
        self._pending = [self._caught_up(member) for member in self.voters]

    async def tell(self, symbol: _Symbol, ahead: Sequence[_Symbol] = ()) -> None:
        """See ``Ensemble``; only the leader is started on what follows, unless a text is scored."""
        leader = self._leader
        if self.scores or leader is None:
            await Ensemble.tell(self, symbol, ahead)
        else:
            await self.tell_one(symbol, leader)

    async def distributions(self) -> list[LogProbs]:
        """See ``Ensemble``: the leader's row alone where it is sure, else those of all."""
        rows = await Ensemble.distributions(self)
        self._unasked = ()
        asks: bool | None = None
        while (leader := self._leader) is not None and len(self.members) > 1:
            own = rows[self.voters.index(leader)]
            if asks is None:
                asks = self._asks(leader, own)
            if self.everybody_votes:
                return rows if asks else self._by(leader, rows)
            if not asks and self._most_owed < _MOST_OWED:
                return rows
            self.clock.tell(self.worked_seconds)
            self.voters = self.members
            self._pending = [
                Ready(own) if member is leader else self._caught_up(member)
                for member in self.members
            ]
            rows = await Ensemble.distributions(self)
        return rows

    def observe(self, rows: Sequence[LogProbs], symbol: int, size: int, free: bool = True) -> None:
        """See ``Ensemble``; who was not asked although its row is known weighs nothing."""
        Ensemble.observe(self, rows, symbol, size, free)
        if self._unasked:
            # The others computed all the same.
            self.voters[0].lone -= 1
        for member, row in self._unasked:
            member.observe(float(row[symbol]), 0.0)

    def _asks(self, leader: Member[_Symbol], own: LogProbs) -> bool:
        """Whether the leader's row, of what the request's form allows, leaves it unsure."""
        # What is no UTF-8 is left in, or a text would be scored otherwise than it was made.
        form = self.constraint
        if form is not None and form.forced:
            return False
        if form is None or form.allowed is None:
            maxima = next(iter(self.alignment.maxima([leader])), None)
            return self.gate.asks(margin(own, maxima))
        [row] = self.alignment.compare([leader], [own], None)
        held = masked_row(row, form.allowed)
        highest = held.max()
        return self.gate.asks(margin(held - highest - np.log(np.exp(held - highest).sum())))

    def _by(self, leader: Member[_Symbol], rows: list[LogProbs]) -> list[LogProbs]:
        """The row of the leader alone, where those of all are known."""
        others = [one for one in self.members if one is not leader]
        at = self.members.index(leader)
        beside = self.alignment.compare(others, [*rows[:at], *rows[at + 1 :]], None)
        # Whoever compares next may write over them.
        self._unasked = [(one, row.copy()) for one, row in zip(others, beside, strict=True)]
        self.voters, self.weights = [leader], [1.0]
        return [rows[at]]

    @property
    def _most_owed(self) -> int:
        """Symbols that the member owes which owes most."""
        return max((_owing(one).owed for one in self.members), default=0)

    @property
    def _leader(self) -> Member[_Symbol] | None:
        """The member that goes on alone, while it is there."""
        return next((one for one in self.members if one.model == self.gate.leader), None)

    def _caught_up(self, member: Member[_Symbol]) -> Awaitable[LogProbs]:
        """Starts a member on what follows all that was chosen."""
        owing = _owing(member)
        if member.model in self._started:
            return owing.catch_up()
        self._started.add(member.model)
        begun = member.start()
        # Who owes tokens was given them with the prompt.
        return Begun(_then_caught_up, begun, owing) if owing.owed else begun

    def _catch_up(self) -> list[Awaitable[LogProbs]]:
        return [self._caught_up(member) for member in self.members]


async def _then_caught_up(begun: Awaitable[LogProbs], owing: OwesSymbols[Any]) -> LogProbs:
    await begun
    return await owing.catch_up()


def _owing(member: Member[Any]) -> OwesSymbols[Any]:
    predictor: OwesSymbols[Any] = member.predictor  # type: ignore[assignment]
    return predictor
