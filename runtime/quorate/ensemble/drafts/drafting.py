"""The drafts of one answer: when to guess, what came of it, what it took; for any kind of symbol.

What a guess is, and what a round of them says of tokens, say ``token_drafting`` and
``byte_drafting``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import ClassVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.lookup import LEAST, MOST, NOTHING, Lookup
from quorate.ensemble.drafts.pace import TOGETHER, Pace, Round
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member
from quorate.ensemble.step_clock import Took
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable

# What may pass before anybody waits for the rows of a step: part of its time, and beside it.
_HELD_UP = 0.2
_HELD_UP_SECONDS = 0.002
_NO_TIME = Took(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Drafts:
    """How one answer is drafted.

    Attributes:
        model: The member that guesses, or "".
        pace: How far, in tokens.
        prompt: The last tokens of the prompt; its last bytes where the members vote on those.
        member_seed: Seed of the draws of members, where each token is drawn from one of them; None
            where it is drawn from the mixture.
    """

    model: str
    pace: Pace
    prompt: Sequence[int] = ()
    member_seed: int | None = None


class Drafting(ABC):
    """Drafts one answer.

    A round begins with a chosen symbol and its draft; it goes on while what was guessed is chosen,
    and ends with the first symbol that was not, or with the one behind the last guess.

    Args:
        ends: Symbols that are never guessed, since nothing follows them.
        max_tokens: Most tokens of the answer.
    """

    agreeing: ClassVar[tuple[int, int]] = (LEAST, MOST)
    """Symbols that a look-up compares, at least and at most."""

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
        self._constraint = ensemble.constraint or ensemble.alignment.constraint
        self._ends = ends
        self._max_tokens = max_tokens
        self._pace = drafts.pace
        self._lookup = Lookup(drafts.prompt, *self.agreeing)
        self._found = NOTHING
        self._round = TOGETHER
        # Most symbols of its draft.
        self._most = 0
        self._draft: list[int] = []
        # Guesses of the draft that are still to be chosen, and whether the last choice was one.
        self._expected: deque[int] = deque()
        self._riding = False
        # How often the member that guesses was asked for its next guess, found or not.
        self._looked = 0
        # Symbols that were chosen in the round, what its first rows took, and what all of it took.
        self._chosen, self._first, self._seconds = 0, _NO_TIME, 0.0
        # Whether the next times are the first of a round, and whether those of it are a measure.
        self._begins, self._undisturbed = False, False
        losses = ensemble.losses
        self._losses = (losses.waited, len(losses.dropped))
        self._note_absence()

    def choose(self, mixture: Choosable, rows: Sequence[Choosable]) -> int:
        """Chooses the next symbol by the mixture, and the row of each voter."""
        self._note_times()
        member, voters = self._member, self._ensemble.voters
        own = rows[voters.index(member)] if member in voters else None
        chosen = self._draw(self._drawn_from(mixture, rows), own)
        self._note_choice(chosen, own)
        return chosen

    async def tell(self, symbol: int) -> None:
        """Starts the members on what follows a symbol, and on what will probably follow that."""
        self._lookup.add(symbol)
        if self._goes_on(symbol):
            await self._ride(symbol)
            return
        self._end_round()
        # The last token of an answer is fed to nobody; this one is not in its length yet.
        self._round, self._most = self._plan(self._max_tokens - self._ensemble.length - 2)
        if self._round.guesser is Guesser.MEMBER:
            await self._ensemble.lead(symbol, self)
            return
        if self._round.guesser is Guesser.LOOKUP:
            for guess in self._found.symbols[: self._most]:
                if guess in self._ends:
                    break
                self._expect(guess)
        await self._ask(symbol)

    @property
    def done(self) -> bool:
        """See ``Leader``."""
        return len(self._draft) >= self._most

    def guess(self, row: LogProbs) -> int | None:
        """See ``Leader``."""
        member = self._member
        if member is None:
            return None
        self._looked += 1
        guess = self._guessed(member, row)
        if guess is None:
            return None
        self._expect(guess)
        member.drafted += 1
        return guess

    def _drawn_from(self, mixture: Choosable, rows: Sequence[Choosable]) -> Choosable:
        """What the next symbol is chosen by."""
        return mixture

    async def _ask(self, symbol: int) -> None:
        """Asks for the first rows of a round in which no member goes ahead."""
        await self._ensemble.tell(symbol, self._draft)

    async def _ride(self, symbol: int) -> None:
        """Asks for rows that were computed before, or are behind the last of them."""
        await self._ensemble.tell(symbol)

    @abstractmethod
    def _draw(self, target: Choosable, own: Choosable | None) -> int:
        """Chooses a symbol; ``own`` is the row of the member that guesses, while it is there."""

    @abstractmethod
    def _guessed(self, member: Member[int], row: LogProbs) -> int | None:
        """The next guess of a member, by its row; None where it has none."""

    @abstractmethod
    def _saw(self, chosen: int, own: Choosable | None) -> None:
        """Notes whether what was, or would have been, guessed was chosen."""

    @abstractmethod
    def _goes_on(self, symbol: int) -> bool:
        """Whether the round goes on behind the symbol that was chosen."""

    @abstractmethod
    def _plan(self, room: int) -> tuple[Round, int]:
        """The next round, of so many tokens at most; and most symbols of its draft."""

    @abstractmethod
    def _note_round(self, led: float | None) -> None:
        """Notes a round whose times are a measure.

        Args:
            led: Seconds until a member had gone ahead; None where none did.
        """

    @property
    def _member(self) -> Member[int] | None:
        """The member that guesses, while it is there."""
        members = self._ensemble.members
        return next((one for one in members if one.model == self.model), None)

    def _expect(self, guess: int) -> None:
        self._draft.append(guess)
        self._expected.append(guess)
        self._constraint.foresee(self._draft)
        self._ensemble.drafted += 1

    def _note_choice(self, chosen: int, own: Choosable | None) -> None:
        self._chosen += 1
        self._saw(chosen, own)
        self._riding = bool(self._expected) and self._expected.popleft() == chosen
        if not self._riding:
            self._expected.clear()
            return
        self._ensemble.accepted += 1
        member = self._member
        if self._round.guesser is Guesser.MEMBER and member is not None:
            member.accepted += 1

    def _end_round(self) -> None:
        if self._chosen and self._undisturbed:
            # Who led and guessed nothing took its step before the others all the same.
            led = self._first.led if self._looked else None
            self._note_round(led)
        self._round, self._draft, self._looked = TOGETHER, [], 0
        self._chosen, self._first, self._seconds = 0, _NO_TIME, 0.0
        self._begins = self._undisturbed = True

    def _note_times(self) -> None:
        """Learns from what the members took since the last choice."""
        took, begins = self._ensemble.took, self._begins
        self._begins = False
        # What the reader held up, or was fed anew, is no measure; nor is the rest of this round.
        self._undisturbed &= not (self._note_losses() or (begins and _held_up(took)))
        self._seconds += took.whole if begins else took.whole - took.asked
        if begins:
            self._first = took

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


def _held_up(took: Took) -> bool:
    """Whether so much passed before anybody waited for a step that its time is no measure."""
    return took.asked > _HELD_UP_SECONDS + _HELD_UP * took.whole
