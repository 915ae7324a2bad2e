"""How far to guess, and who guesses, so that an answer takes the least time. Pure.

A guess costs a row of the block in which the others compute it, of which the first one costs most.
It brings a symbol, where it and all before it are right. And whoever guesses by its own choices
computes another step to see what would come next, which was for nothing where what came before is
wrong. So a member goes on while what that brings in the mean, at the seconds that a symbol takes in
this answer, is more than what it costs; how often it is right is told by how sure it is. (Leviathan
et al. 2023, section 3, with a length that is decided guess by guess.) A look-up is sure by how much
agrees, and costs nothing but the block, of everybody.

Where a token may be drawn from one member alone, a step of that member is a round as well.

Shares are seen at every step, guessed for or not; times are seen where something is tried. What a
trial may lose is bounded: by a small part of the time that steps without guesses have taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from typing import NamedTuple

from quorate.ensemble.drafts.costs import Costs, Guesser, Recent, Shares
from quorate.ensemble.drafts.growing import GrowingDraft
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
# The same of steps of one member: afterwards all others have much to read.
_STALE_LONE = 256
_LONGEST_PATIENCE = 4096
# What a further row adds, and how much longer all may take, where nothing was measured.
_SLOPE = 0.2
_DOUBT = 1.5
# Probability of the members whose steps were measured from which on all of them are known.
_KNOWN = 0.75
# Symbols that the time of a symbol is an average over.
_RECENT_SYMBOLS = 16


class Round(NamedTuple):
    """What is computed behind the next symbol.

    Attributes:
        guesser: Who guesses; None where nobody does.
        length: How many symbols; at most, where a member does.
        lone: Whether one member takes a step alone, which the next symbol is drawn from.
    """

    guesser: Guesser | None
    length: int
    lone: bool = False


TOGETHER = Round(None, 0)
LONE = Round(None, 0, lone=True)


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
        draws: Whether that member draws what it guesses, and does not choose the best.
        grows: Whether a draft of that member grows guess by guess, by ``takes`` and ``goes_on``;
            elsewhere ``plan`` says how long it is.
        sizes: Part of the members' size that each member has, by model; they may be left out where
            none takes a step alone.

    Attributes:
        most: Most symbols of a draft.
    """

    def __init__(
        self,
        costs: Costs,
        most: int = MAX_DRAFT,
        size_share: float = 0.0,
        draws: bool = False,
        grows: bool = True,
        sizes: Mapping[str, float] | None = None,
    ) -> None:
        self._costs = costs
        self._sizes = sizes or {}
        self.most = min(most, MAX_DRAFT)
        self._size_share = size_share
        self._grows = grows
        known = {
            Guesser.MEMBER: costs.drawn if draws else costs.chosen,
            Guesser.LOOKUP: costs.looked_up,
        }
        self._seen = {guesser: (shares, shares.begun()) for guesser, shares in known.items()}
        self._right_last = 1
        self._since_together = 0
        self._trial = False
        self._seconds_a_symbol: float | None = None
        self._draft = GrowingDraft.of_nothing(self._shares(Guesser.MEMBER))

    def plan(
        self,
        room: int,
        agreeing: int = 0,
        found: int = 0,
        lone: Mapping[str, float] | None = None,
    ) -> Round:
        """Decides what is computed behind the symbol that was just chosen.

        Args:
            room: Most symbols that may be guessed now.
            agreeing: How many symbols a look-up is sure by; 0 where it found none.
            found: How many symbols it found.
            lone: With which probability each member is the one that the next symbol is drawn from,
                by model; none where it is chosen by all.
        """
        together = self._costs.together
        self._trial = False
        if together.count < 2 or not (room > 0 or lone) or self._is_stale:
            return TOGETHER
        if self._costs.waited >= self._costs.patience:
            self._costs.forget_times()
        best: _Bid | None = None
        bids = chain(self._bids(room, agreeing, found), self._lone_bids(lone or {}))
        for bid in bids:
            if best is None or bid.symbols * best.seconds > best.symbols * bid.seconds:
                best = bid
        if best is None:
            return TOGETHER
        worth = best.symbols * together.seconds
        goes = worth >= _GAIN * best.seconds
        if goes and not best.measured:
            goes = self._trial = _DOUBT * best.seconds - worth <= self._costs.allowance
        if goes and (best.round.guesser is not Guesser.MEMBER or not self._grows):
            return best.round
        leads = self._size_share and self._grows and room > 0
        if leads and (goes or self._leads_for_free):
            return self._led(min(self.most, room))
        return TOGETHER

    def takes(self, sure: float) -> bool:
        """Whether the next guess of the member that guesses is worth a row; then it has one.

        Args:
            sure: Its probability to this member.
        """
        return self._draft.takes(sure)

    @property
    def goes_on(self) -> bool:
        """Whether it is worth a step of that member to see what it guesses next."""
        return self._draft.goes_on

    def go_without_member(self) -> None:
        """No member guesses any longer."""
        self._size_share = 0.0

    def saw(self, guesser: Guesser, right: bool, sure: float = 0.5) -> None:
        """Notes whether what was, or would have been, guessed for a position was chosen there.

        Args:
            guesser: Who guesses.
            right: Whether it was.
            sure: The probability of the guess to a member; of a look-up how many symbols agree.
        """
        for shares in self._seen[guesser]:
            shares.add(sure, right)

    def took_together(self, seconds: float) -> None:
        """Notes what a step of everybody took."""
        costs = self._costs
        costs.together.add(seconds)
        if costs.together.count == 1:
            costs.allowance = _FIRST_ALLOWANCE * seconds
        most = _FIRST_ALLOWANCE * costs.together.seconds
        costs.allowance = min(most, costs.allowance + ALLOWED * seconds)
        costs.waited += 1
        self._since_together = costs.lone_since_together = 0
        self._note_pace(1, seconds)

    def took_lone(self, model: str, seconds: float) -> None:
        """Notes what a step took of one member alone, which read what it owed in it."""
        costs = self._costs
        costs.lone.setdefault(model, Recent()).add(seconds)
        costs.lone_since_together += 1
        costs.waited = 0
        self._note_pace(1, seconds)
        self._note_trial(1, seconds)

    def took_alone(self, seconds: float) -> None:
        """Notes what a step of the guessing member took."""
        self._costs.alone.add(seconds)

    def took_block(self, done: Round, rows: int, seconds: float) -> None:
        """Notes what the rows of a round took, of which there may have been fewer than planned."""
        if done.guesser is not None:
            self._costs.blocks[done.guesser].add(rows, seconds)

    def ended(self, done: Round, right: int, seconds: float) -> None:
        """Notes the end of a round with a guesser: so many were right, and all took so long."""
        if done.guesser is None:
            return
        costs = self._costs
        costs.waited = 0
        self._since_together += 1
        self._note_pace(right + 1, seconds)
        if done.guesser is Guesser.LOOKUP:
            self._right_last = right
        self._note_trial(right + 1, seconds)

    def _note_trial(self, symbols: int, seconds: float) -> None:
        """Notes what a round lost that was tried: so many symbols took so long."""
        if not self._trial:
            return
        costs = self._costs
        lost = seconds - symbols * costs.together.seconds
        costs.allowance -= max(0.0, lost)
        costs.patience = min(_LONGEST_PATIENCE, costs.patience * 2) if lost > 0 else 64

    def _note_pace(self, symbols: int, seconds: float) -> None:
        kept = (1 - 1 / _RECENT_SYMBOLS) ** symbols
        before = self._seconds_a_symbol
        now = seconds / symbols
        self._seconds_a_symbol = now if before is None else kept * before + (1 - kept) * now

    def _shares(self, guesser: Guesser) -> Shares:
        """Those of this request."""
        return self._seen[guesser][1]

    @property
    def _is_stale(self) -> bool:
        """Whether a step of everybody was not measured for long."""
        return (
            self._since_together >= _STALE_ROUNDS or self._costs.lone_since_together >= _STALE_LONE
        )

    @property
    def _alone(self) -> float:
        """What a step of the member that guesses takes, as far as that is known."""
        costs = self._costs
        return costs.alone.seconds or self._size_share * costs.together.seconds

    @property
    def _others(self) -> float:
        """What one row of the others takes, as far as that is known."""
        single = self._costs.blocks[Guesser.MEMBER].single
        return self._costs.together.seconds - self._alone if single is None else single

    @property
    def _leads_for_free(self) -> bool:
        """Whether members compute one after the other anyway, so that one may as well lead."""
        costs = self._costs
        return (
            costs.alone.count > 0 and self._alone + self._others <= _GAIN * costs.together.seconds
        )

    def _led(self, most: int) -> Round:
        """Begins a draft of the member that guesses."""
        blocks, others, together = (
            self._costs.blocks[Guesser.MEMBER],
            self._others,
            self._costs.together.seconds,
        )
        rows = [blocks.seconds(1 + count, others, _SLOPE) for count in range(most + 1)]
        further = [max(0.0, more - fewer) for fewer, more in pairwise(rows)]
        worth = min(together, self._seconds_a_symbol or together)
        self._draft = GrowingDraft(self._shares(Guesser.MEMBER), worth, self._alone, further)
        return Round(Guesser.MEMBER, most)

    def _bids(self, room: int, agreeing: int, found: int) -> Iterator[_Bid]:
        costs, most = self._costs, min(self.most, room)
        if self._size_share:
            blocks, right = costs.blocks[Guesser.MEMBER], self._shares(Guesser.MEMBER).whole.value
            measured = costs.alone.count > 0 and blocks.count >= _MEASURED
            for count in range(1, most + 1):
                steps = count + right**count
                seconds = steps * self._alone + blocks.seconds(count + 1, self._others, _SLOPE)
                bid = Round(Guesser.MEMBER, count)
                yield _Bid(bid, _symbols(right, count), seconds, measured)
        if found:
            blocks, right = costs.blocks[Guesser.LOOKUP], self._shares(Guesser.LOOKUP).of(agreeing)
            for count in range(1, min(most, found, 2 * self._right_last + 2) + 1):
                seconds = blocks.seconds(count + 1, costs.together.seconds, _SLOPE)
                bid = Round(Guesser.LOOKUP, count)
                yield _Bid(bid, _symbols(right, count), seconds, blocks.count >= _MEASURED)

    def _lone_bids(self, lone: Mapping[str, float]) -> Iterator[_Bid]:
        """A step of the member that is drawn; of all steps together, since seeds draw as they do.

        Who was not measured is thought to take the part of a step of everybody that its size is of
        all sizes.
        """
        if not lone:
            return
        costs, seconds, known = self._costs, 0.0, 0.0
        for model, share in lone.items():
            steps = costs.lone.get(model)
            if steps is not None and steps.count >= _MEASURED:
                known += share
                seconds += share * steps.seconds
            else:
                size = self._sizes.get(model, 1 / len(lone))
                seconds += share * size * costs.together.seconds
        yield _Bid(LONE, 1.0, seconds, known >= _KNOWN)


def _symbols(share: float, count: int) -> float:
    """Symbols that a draft of so many brings in the mean, the one behind it included."""
    right = min(share, 0.995)
    return float((1 - right ** (count + 1)) / (1 - right))
