"""The drafts of one answer whose members vote token by token.

What is drawn is coupled with what the member that guesses would draw, and so is what it guesses;
how far it goes is decided guess by guess, by how sure it is.
"""

from __future__ import annotations

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.drafting import Drafting
from quorate.ensemble.drafts.pace import Round
from quorate.ensemble.member import Member
from quorate.sampling.coupling import Proposal
from quorate.sampling.shortlist import Choosable


class TokenDrafting(Drafting):
    """Drafts one answer of tokens."""

    _proposal: Proposal | None = None
    """What the member that guesses would have drawn for the last token, where that is known."""
    _owed = 0
    """Tokens that members read beside those of the round."""

    @property
    def done(self) -> bool:
        """See ``Leader``."""
        return super().done or not self._pace.goes_on

    def _draw(self, target: Choosable, own: Choosable | None) -> int:
        token = self._sampler.sample(target, own)
        self._proposal = self._sampler.proposal
        return token

    def _guessed(self, member: Member[int], row: LogProbs) -> int | None:
        (compared,) = self._ensemble.alignment.compare((member,), (row,))
        guess = self._sampler.guess(compared, self._draft)
        if guess is None or guess.token in self._ends or not self._pace.takes(self._sure(guess)):
            return None
        return guess.token

    def _sure(self, guess: Proposal) -> float:
        """How sure the next guess of a draft is."""
        return guess.probability

    def _saw(self, chosen: int, own: Choosable | None) -> None:
        proposal = self._proposal
        if proposal is not None:
            self._pace.saw(Guesser.MEMBER, proposal.token == chosen, proposal.probability)
        if self._found.symbols:
            right = self._found.symbols[0] == chosen
            self._pace.saw(Guesser.LOOKUP, right, self._found.agreeing)

    def _goes_on(self, symbol: int) -> bool:
        # Guessed for or not: whether it would have been right is seen at every token.
        self._found = self._lookup.find(self._pace.most)
        return self._riding

    def _plan(self, room: int) -> tuple[Round, int]:
        found, room = self._found, min(self._ensemble.reach, room)
        planned = self._pace.plan(room, found.agreeing, len(found.symbols))
        return planned, planned.length

    def _note_round(self, led: float | None) -> None:
        whole = self._first.whole
        if led is None and not self._draft:
            self._pace.took_together(whole)
            return
        if led is not None:
            self._pace.took_alone(led / self._looked)
        rows = 1 + len(self._draft) + self._owed
        self._pace.took_block(self._round, rows, whole - (led or 0.0))
        self._pace.ended(self._round, self._chosen - 1, self._seconds)
