"""The drafts of one byte-exact answer.

Members decode tokens, and the vote chooses bytes: a byte within a token costs nothing. So a round
begins where some member's token ends, and lengths are counted in tokens of the answer's mean size.
What is drawn is what is drawn without drafts: nobody proposes, and a guess is compared with the
choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.drafting import Drafts, held_up
from quorate.ensemble.drafts.lookup import NOTHING, Lookup
from quorate.ensemble.drafts.pace import TOGETHER
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable, ranked

_USUAL_SIZE = 4.0
_SIZES = (1.0, 8.0)
# Tokens of an answer by which their size is known.
_TELLING = 8
# Bytes that a look-up compares: a word that was said before is no text that goes on.
_LEAST_AGREEING, _MOST_AGREEING = 8, 40


class ByteDrafting:
    """Drafts one answer, as ``Drafting`` does one of tokens.

    Args:
        end: The symbol of the end, which is never guessed.
        max_tokens: Most tokens of the answer.
    """

    def __init__(
        self, ensemble: Ensemble[int], sampler: Sampler, drafts: Drafts, end: int, max_tokens: int
    ) -> None:
        self.model = drafts.model
        self._ensemble = ensemble
        self._sampler = sampler
        self._end = end
        self._max_tokens = max_tokens
        self._pace = drafts.pace
        self._lookup = Lookup(drafts.prompt, _LEAST_AGREEING, _MOST_AGREEING)
        self._found = NOTHING
        self._watched = {guesser: _Watch() for guesser in Guesser}
        self._awaited: deque[int] = deque()
        self._bytes = 0
        self._round = TOGETHER
        self._most = 0
        self._draft: list[int] = []
        # Whether the member that guesses looked for a guess, found or not.
        self._looked = False
        self._expected: deque[int] = deque()
        # Of the round: bytes that were chosen in it, what they took, and the guessing member of it.
        self._chosen, self._seconds, self._led = 0, 0.0, 0.0
        self._begins, self._undisturbed = False, False
        losses = ensemble.losses
        self._losses = (losses.waited, len(losses.dropped))
        self._note_absence()

    def choose(self, mixture: Choosable, rows: Sequence[Choosable]) -> int:
        """Chooses the next byte by the mixture."""
        self._note_times()
        chosen = self._sampler.sample(mixture)
        self._note_choice(chosen, rows)
        return chosen

    async def tell(self, byte: int) -> None:
        """Starts the members on what follows a byte, and on what will probably follow that."""
        self._lookup.add(byte)
        if self._expected or not self._ends_token(byte):
            await self._ensemble.tell(byte)
            return
        self._end_round()
        most = round(self._pace.most * self._size)
        self._found = found = self._lookup.find(most)
        self._awaited = deque(found.symbols)
        # The last token of an answer is fed to nobody; this one is not in its length yet.
        room = self._max_tokens - self._ensemble.length - 2
        room = min(room, int(self._ensemble.reach / self._size))
        sure, far = int(found.agreeing / self._size), int(len(found.symbols) / self._size)
        self._round = self._pace.plan(room, sure, far)
        self._most = round(self._round.length * self._size)
        if self._round.guesser is Guesser.MEMBER:
            await self._ensemble.lead(byte, self)
            return
        if self._round.guesser is Guesser.LOOKUP:
            for guess in found.symbols[: self._most]:
                self._expect(guess)
        await self._ensemble.tell(byte, self._draft)

    @property
    def done(self) -> bool:
        """See ``Leader``."""
        return len(self._draft) >= self._most

    def guess(self, row: LogProbs) -> int | None:
        """See ``Leader``."""
        member, guess = self._member, int(row.argmax())
        if member is None:
            return None
        self._looked = True
        if guess == self._end:
            return None
        self._expect(guess)
        member.drafted += 1
        return guess

    @property
    def _size(self) -> float:
        """Bytes of a token, in the mean."""
        length = self._ensemble.length
        if length < _TELLING:
            return _USUAL_SIZE
        least, most = _SIZES
        return min(most, max(least, self._bytes / length))

    @property
    def _member(self) -> Member[int] | None:
        """The member that guesses, while it is there."""
        members = self._ensemble.members
        return next((one for one in members if one.model == self.model), None)

    def _ends_token(self, byte: int) -> bool:
        predictors: list[Any] = [member.predictor for member in self._ensemble.members]
        return any(predictor.ends_token(byte) for predictor in predictors)

    def _expect(self, guess: int) -> None:
        self._draft.append(guess)
        self._expected.append(guess)
        self._ensemble.drafted += 1

    def _note_choice(self, chosen: int, rows: Sequence[Choosable]) -> None:
        self._bytes += 1
        self._chosen += 1
        member = self._member
        if member is not None:
            row = ranked(rows[self._ensemble.members.index(member)]).row
            self._watch(Guesser.MEMBER, int(row.argmax()) == chosen)
        if self._awaited:
            right = self._awaited.popleft() == chosen
            self._watch(Guesser.LOOKUP, right)
            if not right:
                self._awaited.clear()
        if not self._expected:
            return
        if self._expected.popleft() != chosen:
            self._expected.clear()
            return
        self._ensemble.accepted += 1
        if self._round.guesser is Guesser.MEMBER and member is not None:
            member.accepted += 1

    def _watch(self, guesser: Guesser, right: bool) -> None:
        whole = self._watched[guesser].add(right, self._size)
        if whole is not None:
            agreeing = int(self._found.agreeing / self._size)
            self._pace.saw(guesser, whole, *([agreeing] if guesser is Guesser.LOOKUP else []))

    def _end_round(self) -> None:
        if self._chosen and self._undisturbed:
            tokens = self._chosen / self._size
            if self._looked or self._draft:
                guessed = max(1, round(len(self._draft) / self._size)) if self._draft else 0
                if self._looked:
                    # Where it guessed nothing it still took its own step before the others.
                    self._pace.took_alone(self._led / max(1, guessed))
                self._pace.took_block(self._round, 1 + guessed, self._seconds - self._led)
                self._pace.ended(self._round, max(0, round(tokens) - 1), self._seconds)
            else:
                self._pace.took_together(self._seconds / tokens)
        self._round, self._draft, self._looked = TOGETHER, [], False
        self._chosen, self._seconds, self._led = 0, 0.0, 0.0
        self._begins = self._undisturbed = True

    def _note_times(self) -> None:
        """Learns from what the members took since the last choice."""
        took, begins = self._ensemble.took, self._begins
        self._begins = False
        # What the reader held up, or was fed anew, is no measure; nor is the rest of this round.
        self._undisturbed &= not (self._note_losses() or (begins and held_up(took)))
        self._seconds += took.whole if begins else took.whole - took.asked
        if begins and self._looked:
            self._led = took.led

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
        """Where nobody is there to guess, or to check what is guessed, no member does."""
        if self._member is None or len(self._ensemble.members) < 2:
            self._pace.go_without_member()


class _Watch:
    """How many bytes in a row were right: a token is where all of its bytes are."""

    def __init__(self) -> None:
        self._right = 0

    def add(self, right: bool, size: float) -> bool | None:
        """Adds a byte; whether a whole token was right, once that can be told."""
        if not right:
            self._right = 0
            return False
        self._right += 1
        if self._right < size:
            return None
        self._right = 0
        return True
