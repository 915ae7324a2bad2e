"""How far to guess, and who guesses, so that an answer takes the least time. Pure.

With a share a of guesses that are right, k of them bring (1 - a^(k+1)) / (1 - a) symbols in the
mean, the last one for free. They take k steps of the member that guesses, a block of k + 1 rows of
the others and, where all were right, one more step of that member; a look-up costs nothing but the
block, of everybody. What pays best by the times and shares that were seen is done. (Leviathan et
al. 2023, section 3.)

Shares are seen at every step, guessed for or not; times are seen where something is tried. What a
trial may lose is bounded: by a small part of the time that steps without guesses have taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quorate.ensemble.drafts.costs import Costs, Guesser, Share, grade_of
from quorate.request import MAX_DRAFT

ALLOWED = 0.01
"""Part of the time of steps without drafts that trials may lose."""

_FIRST_ALLOWANCE = 2.0
"""Steps that the first trials of a set of members may lose."""
_GAIN = 1.03
"""What a draft must promise, so that noise decides nothing."""
# Blocks after which their times are believed.
_MEASURED = 2
_STALE_ROUNDS = 24
_LONGEST_PATIENCE = 4096
# What a further row adds, and what is thought possible, where nothing was measured.
_SLOPE = 0.2
_DOUBT = 1.5
_HOPE = 0.7


class Round(NamedTuple):
    """What is computed behind the next symbol.

    Attributes:
        guesser: Who guesses; None where everybody takes one step.
        length: How many symbols.
    """

    guesser: Guesser | None
    length: int


TOGETHER = Round(None, 0)


class _Bid(NamedTuple):
    """A round that could be, with what it is thought to bring and to take."""

    round: Round
    symbols: float
    seconds: float
    measured: bool


class Pace:
    """Decides for one request, and remembers for those to come.

    Args:
        costs: Of its members.
        most: Most symbols of a draft, up to ``MAX_DRAFT``.
        size_share: Part of the members' size that the one has that guesses, which is the part of
            their time that it is thought to take; 0 where no member guesses.

    Attributes:
        most: Most symbols of a draft.
    """

    def __init__(self, costs: Costs, most: int = MAX_DRAFT, size_share: float = 0.0) -> None:
        self._costs = costs
        self.most = min(most, MAX_DRAFT)
        self._size_share = size_share
        self._shares = {key: share.begun() for key, share in costs.shares.items()}
        self._right_last = dict.fromkeys(Guesser, 1)
        self._since_together = 0
        self._trial = False

    def plan(self, room: int, agreeing: int = 0, found: int = 0) -> Round:
        """Decides what is computed behind the symbol that was just chosen.

        Args:
            room: Most symbols that may be guessed now.
            agreeing: How many symbols a look-up is sure by; 0 where it found none.
            found: How many symbols it found.
        """
        together = self._costs.together.seconds
        self._trial = False
        if self._costs.together.count < 2 or room < 1 or self._since_together >= _STALE_ROUNDS:
            return TOGETHER
        best: _Bid | None = None
        for bid in self._bids(room, agreeing, found):
            if best is None or bid.symbols * best.seconds > best.symbols * bid.seconds:
                best = bid
        if best is None:
            return TOGETHER
        pays = best.symbols * together >= _GAIN * best.seconds
        if pays and best.measured:
            return best.round
        if self._may_try(best, pays):
            self._trial = True
            return best.round
        return TOGETHER

    def go_without_member(self) -> None:
        """No member guesses any longer."""
        self._size_share = 0.0

    def saw(self, guesser: Guesser, right: bool, agreeing: int = 0) -> None:
        """Notes whether what was, or would have been, guessed for a position was chosen there."""
        key = (guesser, grade_of(agreeing) if guesser is Guesser.LOOKUP else 0)
        self._shares[key].add(right)
        self._costs.shares[key].add(right)

    def took_together(self, seconds: float) -> None:
        """Notes what a step of everybody took."""
        costs = self._costs
        costs.together.add(seconds)
        if costs.together.count == 1:
            costs.allowance = _FIRST_ALLOWANCE * seconds
        most = _FIRST_ALLOWANCE * costs.together.seconds
        costs.allowance = min(most, costs.allowance + ALLOWED * seconds)
        costs.waited += 1
        self._since_together = 0

    def took_alone(self, seconds: float) -> None:
        """Notes what a step of the guessing member took."""
        self._costs.alone.add(seconds)

    def took_block(self, done: Round, rows: int, seconds: float) -> None:
        """Notes what the block of a round took, which may have become shorter than planned."""
        if done.guesser is not None and rows > 1:
            self._costs.blocks[done.guesser].add(rows, seconds)

    def ended(self, done: Round, right: int, seconds: float) -> None:
        """Notes the end of a round with a draft: so many guesses were right, all took so long."""
        if done.guesser is None:
            return
        self._right_last[done.guesser] = right
        self._since_together += 1
        if not self._trial:
            return
        costs = self._costs
        lost = seconds - (right + 1) * costs.together.seconds
        costs.allowance -= max(0.0, lost)
        costs.waited = 0
        costs.patience = min(_LONGEST_PATIENCE, costs.patience * 2) if lost > 0 else 64

    def _may_try(self, bid: _Bid, pays: bool) -> bool:
        """Whether a trial may be afforded, and could show that it pays after all."""
        costs, worth = self._costs, bid.symbols * self._costs.together.seconds
        if pays:
            return _DOUBT * bid.seconds - worth <= costs.allowance
        hopeful = _HOPE * bid.seconds * _GAIN <= worth
        return hopeful and costs.waited >= costs.patience and bid.seconds - worth <= costs.allowance

    def _bids(self, room: int, agreeing: int, found: int) -> Iterator[_Bid]:
        costs, together = self._costs, self._costs.together.seconds
        most = min(self.most, room)
        if self._size_share:
            alone = costs.alone.seconds if costs.alone.count else self._size_share * together
            blocks = costs.blocks[Guesser.MEMBER]
            single = together if blocks.count else (1 - self._size_share) * together
            measured = costs.alone.count > 0 and blocks.count >= _MEASURED
            share = self._shares[Guesser.MEMBER, 0]
            for count in range(1, min(most, self._right_last[Guesser.MEMBER] + 2) + 1):
                steps = count + share.value**count
                seconds = steps * alone + blocks.seconds(count + 1, single, _SLOPE)
                bid = Round(Guesser.MEMBER, count)
                yield _Bid(bid, _symbols(share, count), seconds, measured)
        if found:
            blocks = costs.blocks[Guesser.LOOKUP]
            share = self._shares[Guesser.LOOKUP, grade_of(agreeing)]
            far = min(most, found, 2 * self._right_last[Guesser.LOOKUP] + 2)
            for count in range(1, far + 1):
                seconds = blocks.seconds(count + 1, together, _SLOPE)
                bid = Round(Guesser.LOOKUP, count)
                yield _Bid(bid, _symbols(share, count), seconds, blocks.count >= _MEASURED)


def _symbols(share: Share, count: int) -> float:
    """Symbols that a draft of so many brings in the mean, the one behind it included."""
    right = min(share.value, 0.995)
    return float((1 - right ** (count + 1)) / (1 - right))
