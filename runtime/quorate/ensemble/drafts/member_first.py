"""Answers whose tokens are each drawn from one member, which is itself drawn by its weight.

Of a mixture r = sum of w_i p_i whose weights do not change, drawing i by w and then a token by p_i
is drawing by r (one forward a token: Mixture-model-like ensembling, arXiv 2605.00419). So the other
members' rows are not needed: they owe the token, and read it together with those that follow once
it is their turn.

Whether that is cheaper than a step of everybody, or than a draft, says the pace. The answer does
not depend on it: members and tokens are drawn by numbers of their positions, whoever computed what.
For the same reason nothing is coupled: a guess is what its member would draw by the number that the
token is drawn by, and right where that is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping, Sequence

import numpy as np

from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.drafting import Drafts
from quorate.ensemble.drafts.owing import most_owed
from quorate.ensemble.drafts.pace import Round
from quorate.ensemble.drafts.token_drafting import TokenDrafting
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member
from quorate.sampling.coupling import Proposal
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable

# The sampler has the first two streams of the same seed.
_STREAM = 2


class MemberDraws:
    """Draws the member of each position of an answer by a number of that position, from PCG64."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed).jumped(_STREAM))
        self._ahead: deque[float] = deque()

    def peek(self, weights: Sequence[float], ahead: int = 0) -> int:
        """The member of a position so far behind the next one, by weights that sum to 1."""
        while len(self._ahead) <= ahead:
            self._ahead.append(self._generator.random())
        share = self._ahead[ahead]
        for at, weight in enumerate(weights):
            share -= weight
            if share < 0:
                return at
        # Weights may sum to a little less than 1.
        return max(at for at, weight in enumerate(weights) if weight > 0)

    def take(self, weights: Sequence[float]) -> int:
        """The member of the next position, which is then past."""
        at = self.peek(weights)
        self._ahead.popleft()
        return at


class MemberFirst(TokenDrafting):
    """Drafts one answer whose tokens are each drawn from one member; see above."""

    def __init__(
        self,
        ensemble: Ensemble[int],
        sampler: Sampler,
        drafts: Drafts,
        ends: Container[int],
        max_tokens: int,
    ) -> None:
        super().__init__(ensemble, sampler, drafts, ends, max_tokens)
        self._draws = MemberDraws(drafts.member_seed or 0)
        # Whom the last token was drawn from.
        self._drawn = ensemble.members[0]

    def _drawn_from(self, mixture: Choosable, rows: Sequence[Choosable]) -> Choosable:
        at = self._draws.take(self._weights)
        self._drawn = self._ensemble.members[at]
        # Who votes alone is who was drawn.
        return rows[at] if self._ensemble.everybody_votes else rows[0]

    def _draw(self, target: Choosable, own: Choosable | None) -> int:
        guesses = self._drawn.model == self.model
        self._proposal = None if own is None or guesses else self._sampler.guess(own)
        token = self._sampler.sample(target)
        if own is not None and guesses:
            self._proposal = Proposal(token, 1.0)
        return token

    def _sure(self, guess: Proposal) -> float:
        drawn = self._next(len(self._draft))
        return 1.0 if drawn.model == self.model else guess.probability

    def _plan(self, room: int) -> tuple[Round, int]:
        found, room = self._found, min(self._ensemble.reach, room)
        planned = self._pace.plan(room, found.agreeing, len(found.symbols), self._shares)
        return planned, planned.length

    async def _ask(self, symbol: int) -> None:
        if self._round.lone:
            await self._ensemble.tell_one(symbol, self._next())
        else:
            await super()._ask(symbol)

    async def _ride(self, symbol: int) -> None:
        drawn = self._next()
        # Behind its last guess the member that guesses has computed nothing yet.
        if self._expected or self._round.guesser is not Guesser.MEMBER or drawn is self._member:
            await super()._ride(symbol)
        else:
            await self._ensemble.tell_one(symbol, drawn)

    def _end_round(self) -> None:
        super()._end_round()
        self._owed = most_owed(self._ensemble.members)

    def _note_round(self, led: float | None) -> None:
        if self._round.lone:
            self._pace.took_lone(self._drawn.model, self._first.whole)
        elif led is not None or self._draft or not self._owed:
            super()._note_round(led)

    @property
    def _weights(self) -> Sequence[float]:
        """Of all members, whoever votes now."""
        return self._ensemble.weigher.weights(())

    @property
    def _shares(self) -> Mapping[str, float]:
        """Weights by model, while there are several."""
        members = self._ensemble.members
        if len(members) < 2:
            return {}
        return {one.model: share for one, share in zip(members, self._weights, strict=True)}

    def _next(self, ahead: int = 0) -> Member[int]:
        """Whom a token is drawn from, so far behind the next one."""
        return self._ensemble.members[self._draws.peek(self._weights, ahead)]
