"""The drafts of one answer: when to guess, what was guessed, what came of it, what it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.lookup import NOTHING, Lookup
from quorate.ensemble.drafts.pace import TOGETHER, Pace
from quorate.ensemble.ensemble import Ensemble, Took
from quorate.ensemble.member import Member
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable

# What may pass before anybody waits for the rows of a step: part of its time, and beside it.
_HELD_UP = 0.2
_HELD_UP_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Drafts:
    """How one answer is drafted.

    Attributes:
        model: The member that guesses, or "".
        pace: How far, in tokens.
        prompt: The last tokens of the prompt; its last bytes where the members vote on those.
    """

    model: str
    pace: Pace
    prompt: Sequence[int] = ()


def held_up(took: Took) -> bool:
    """Whether so much passed before anybody waited for a step that its time is no measure."""
    return took.asked > _HELD_UP_SECONDS + _HELD_UP * took.whole


class Drafting:
    """Drafts one answer.

    A round begins with a chosen token and its draft; it goes on while what was guessed is chosen,
    and ends with the first token that was not, or with the one behind the last guess.

    Args:
        ends: Tokens that are never guessed, since nothing follows them.
        max_tokens: Most tokens of the answer.
    """

    def __init__(
        self,
        ensemble: Ensemble[int],
        sampler: Sampler,
        drafts: Drafts,
        ends: Container[int],
        max_tokens: int,
    ) -> None:
        self.model = drafts.model
        self._ensemble = ensemble
        self._sampler = sampler
        self._ends = ends
        self._max_tokens = max_tokens
        self._pace = drafts.pace
        self._lookup = Lookup(drafts.prompt)
        self._found = NOTHING
        self._round = TOGETHER
        self._draft: list[int] = []
        # Guesses of the draft that are still to be chosen, and whether the last choice was one.
        self._expected: deque[int] = deque()
        self._riding = False
        self._right = 0
        # Steps in which the member that guesses looked for the next guess.
        self._looked = 0
        self._seconds = 0.0
        # Whether the next times are the first of a round, and whether those of it are a measure.
        self._begins, self._undisturbed = False, False
        losses = ensemble.losses
        self._losses = (losses.waited, len(losses.dropped))
        self._note_absence()

    def choose(self, mixture: Choosable, rows: Sequence[Choosable]) -> int:
        """Chooses the next token by the mixture, and by the row of the member that guesses."""
        self._note_times()
        member = self._member
        proposed = None if member is None else rows[self._ensemble.members.index(member)]
        chosen = self._sampler.sample(mixture, proposed)
        self._note_choice(chosen)
        return chosen

    async def tell(self, token: int) -> None:
        """Starts the members on what follows a token, and on what will probably follow that."""
        self._lookup.add(token)
        self._found = self._lookup.find(self._pace.most)
        if self._riding:
            await self._ensemble.tell(token)
            return
        self._end_round()
        found = self._found
        # The last token of an answer is fed to nobody; this one is not in its length yet.
        room = min(self._ensemble.reach, self._max_tokens - self._ensemble.length - 2)
        self._round = self._pace.plan(room, found.agreeing, len(found.symbols))
        if self._round.guesser is Guesser.MEMBER:
            await self._ensemble.lead(token, self)
            return
        if self._round.guesser is Guesser.LOOKUP:
            for guess in found.symbols[: self._round.length]:
                if guess in self._ends:
                    break
                self._expect(guess)
        await self._ensemble.tell(token, self._draft)

    @property
    def done(self) -> bool:
        """See ``Leader``."""
        return len(self._draft) >= self._round.length or not self._pace.goes_on

    def guess(self, row: LogProbs) -> int | None:
        """See ``Leader``."""
        member = self._member
        if member is None:
            return None
        (compared,) = self._ensemble.alignment.compare((member,), (row,))
        self._looked += 1
        guess = self._sampler.guess(compared, self._draft)
        if guess is None or guess.token in self._ends or not self._pace.takes(guess.probability):
            return None
        self._expect(guess.token)
        member.drafted += 1
        return guess.token

    @property
    def _member(self) -> Member[int] | None:
        """The member that guesses, while it is there."""
        members = self._ensemble.members
        return next((one for one in members if one.model == self.model), None)

    def _expect(self, guess: int) -> None:
        self._draft.append(guess)
        self._expected.append(guess)
        self._ensemble.drafted += 1

    def _note_choice(self, chosen: int) -> None:
        proposal = self._sampler.proposal
        if proposal is not None:
            self._pace.saw(Guesser.MEMBER, proposal.token == chosen, proposal.probability)
        if self._found.symbols:
            right = self._found.symbols[0] == chosen
            self._pace.saw(Guesser.LOOKUP, right, self._found.agreeing)
        self._riding = bool(self._expected) and self._expected.popleft() == chosen
        if not self._riding:
            self._expected.clear()
            return
        self._right += 1
        self._ensemble.accepted += 1
        member = self._member
        if self._round.guesser is Guesser.MEMBER and member is not None:
            member.accepted += 1

    def _end_round(self) -> None:
        if (self._looked or self._draft) and self._undisturbed:
            self._pace.ended(self._round, self._right, self._seconds)
        self._round, self._draft = TOGETHER, []
        self._looked, self._right, self._seconds = 0, 0, 0.0
        self._begins = self._undisturbed = True

    def _note_times(self) -> None:
        """Learns from what the members took since the last choice."""
        took, begins = self._ensemble.took, self._begins
        self._begins = False
        # What the reader held up, or was fed anew, is no measure; nor is the rest of this round.
        self._undisturbed &= not (self._note_losses() or (begins and held_up(took)))
        if not self._undisturbed:
            return
        self._seconds += took.whole if begins else took.whole - took.asked
        if not begins:
            return
        if self._looked:
            self._pace.took_alone(took.led / self._looked)
            self._pace.took_block(self._round, 1 + len(self._draft), took.whole - took.led)
        elif self._draft:
            self._pace.took_block(self._round, 1 + len(self._draft), took.whole)
        else:
            self._pace.took_together(took.whole)

    def _note_losses(self) -> bool:
        """Whether a member was lost since it was asked last; notes what that means for drafts."""
        losses = self._ensemble.losses
        known, self._losses = self._losses, (losses.waited, len(losses.dropped))
        if self._losses == known:
            return False
        if losses.waited > known[0]:
            # Everybody was fed anew, and what was computed ahead is gone.
            self._expected.clear()
        self._note_absence()
        return True

    def _note_absence(self) -> None:
        """Where nobody is there to guess, or to check what is guessed, no member does.

        Nor does one that could not forget what it guessed wrong.
        """
        member = self._member
        if member is None or not member.predictor.reach or len(self._ensemble.members) < 2:
            self._pace.go_without_member()
