"""The drafts of one byte-exact answer.

Members decode tokens, and the vote chooses bytes: a byte within a token costs nothing. So a round
begins where some member's token ends, and lengths are counted in tokens of the answer's mean size.
What is drawn is what is drawn without drafts: nobody proposes, and a guess is compared with the
choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Any

from quorate.engines.contract import LogProbs
from quorate.ensemble.drafts.costs import Guesser
from quorate.ensemble.drafts.drafting import Drafting, Drafts
from quorate.ensemble.drafts.pace import Round
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member
from quorate.sampling.sampler import Sampler
from quorate.sampling.shortlist import Choosable, ranked

_USUAL_SIZE = 4.0
_SIZES = (1.0, 8.0)
# Tokens of an answer by which their size is known.
_TELLING = 8


class ByteDrafting(Drafting):
    """Drafts one answer of bytes; symbols are these, and the end."""

    # A word that was said before is no text that goes on.
    agreeing = (8, 40)

    def __init__(
        self,
        ensemble: Ensemble[int],
        sampler: Sampler,
        drafts: Drafts,
        ends: Container[int],
        max_tokens: int,
    ) -> None:
        super().__init__(ensemble, sampler, drafts, ends, max_tokens)
        self._watched = {guesser: _Watch() for guesser in Guesser}
        # What was found where the round began, as far as it was right so far.
        self._awaited: deque[int] = deque()
        self._bytes = 0

    @property
    def _size(self) -> float:
        """Bytes of a token, in the mean."""
        length = self._ensemble.length
        if length < _TELLING:
            return _USUAL_SIZE
        least, most = _SIZES
        return min(most, max(least, self._bytes / length))

    def _draw(self, target: Choosable, own: Choosable | None) -> int:
        return self._sampler.sample(target)

    def _guessed(self, member: Member[int], row: LogProbs) -> int | None:
        guess = int(row.argmax())
        return None if guess in self._ends else guess

    def _saw(self, chosen: int, own: Choosable | None) -> None:
        self._bytes += 1
        if own is not None:
            self._watch(Guesser.MEMBER, int(ranked(own).row.argmax()) == chosen)
        if self._awaited:
            right = self._awaited.popleft() == chosen
            self._watch(Guesser.LOOKUP, right)
            if not right:
                self._awaited.clear()

    def _watch(self, guesser: Guesser, right: bool) -> None:
        whole = self._watched[guesser].add(right, self._size)
        if whole is not None:
            agreeing = int(self._found.agreeing / self._size)
            self._pace.saw(guesser, whole, *([agreeing] if guesser is Guesser.LOOKUP else []))

    def _goes_on(self, symbol: int) -> bool:
        if self._expected:
            return True
        predictors: list[Any] = [member.predictor for member in self._ensemble.members]
        return not any(predictor.ends_token(symbol) for predictor in predictors)

    def _plan(self, room: int) -> tuple[Round, int]:
        size = self._size
        self._found = found = self._lookup.find(round(self._pace.most * size))
        self._awaited = deque(found.symbols)
        room = min(room, int(self._ensemble.reach / size))
        sure, far = int(found.agreeing / size), int(len(found.symbols) / size)
        planned = self._pace.plan(room, sure, far)
        return planned, round(planned.length * size)

    def _note_round(self, led: float | None) -> None:
        tokens = self._chosen / self._size
        if led is None and not self._draft:
            self._pace.took_together(self._seconds / tokens)
            return
        guessed = max(1, round(len(self._draft) / self._size)) if self._draft else 0
        if led is not None:
            self._pace.took_alone(led / max(1, guessed))
        self._pace.took_block(self._round, 1 + guessed, self._seconds - (led or 0.0))
        self._pace.ended(self._round, max(0, round(tokens) - 1), self._seconds)


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
