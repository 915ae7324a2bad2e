"""What of a text that will probably be told is worth computing ahead, and what no longer is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

from quorate.engines.contract import ModelFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.cutting import Cutter
from quorate.ensemble.alignments.bytes.hypotheses import Extension, Hypothesis, Kept
from quorate.ensemble.guesses import reach_of

_Hypothesis: TypeAlias = Hypothesis[Context]
_Extension: TypeAlias = Extension[Context]

# Of a usual text: as many bytes as a block has tokens for.
_BYTES_PER_TOKEN = 4
# Share of what is possible from which a hypothesis is worth a look ahead.
_LEAST_WEIGHT = 0.05
# Bytes that tell where a token ends.
_LONGEST_LOOK = 24


class Way(NamedTuple):
    """A hypothesis, known or still computed, as far as guesses go on from it.

    Attributes:
        begun: Bytes already seen of its next token.
    """

    context: Context
    begun: bytes


class Foresight:
    """Guesses the tokens of one member.

    Attributes:
        reach: Bytes that are worth telling it ahead; 0 where it computes nothing ahead.
    """

    def __init__(self, vocabulary: Vocabulary, facts: ModelFacts) -> None:
        self._most = reach_of(facts)
        self._pieces = vocabulary.pieces
        self._cutter = Cutter(vocabulary.byte_order)
        self.reach = _BYTES_PER_TOKEN * facts.block_rows if self._most else 0

    def target(self, kept: Kept[Context], ahead: bytes) -> _Hypothesis | _Extension | None:
        """What to look ahead from, before it is grown; None where guesses are there already.

        Not simply the likeliest: where a text surprises, a token that ends early is likelier for a
        moment than the one that the tokenizer would take. The likeliest is taken of those that are
        on the tokenizer's own cut, so far.
        """
        everyone: list[_Hypothesis | _Extension] = [*kept.longer, *kept.complete]
        likely = [one for one in everyone if one.weight >= _LEAST_WEIGHT]
        if any(self._is_guessed(one) for one in likely):
            return None
        ranked = sorted(likely, key=lambda one: one.weight, reverse=True)
        return next((one for one in ranked if self._is_usual(one, ahead)), None)

    def guesses(self, begun: bytes, ahead: bytes, room: int) -> Sequence[int]:
        """The tokens that a text will probably be cut into, as far as they can be computed ahead.

        The last of them is left out: it may go on beyond what is told.

        Args:
            begun: Bytes of the first token that were seen already.
            ahead: What follows them.
            room: Most tokens there is room for.
        """
        most = min(self._most, room)
        return list(islice(self._cutter.cut(begun + ahead), most + 1))[:-1] if most > 0 else ()

    def behind(self, token: int, ahead: bytes, room: int) -> Sequence[int]:
        """The same behind a token that is on the cut and complete."""
        return self.guesses(self._pieces[token], ahead, room + 1)[1:]

    def forget(self, tree: ContextTree, ways: Sequence[Way]) -> None:
        """Has sessions forget what none of the hypotheses may go on with any more."""
        live = {id(way.context.trunk) for way in ways if self._goes_on(way)}
        tree.forget_beside(
            lambda trunk, length, token: any(
                way.context.trunk is trunk and self._comes_to(way, length, token) for way in ways
            )
        )
        for trunk in tree.trunks:
            if id(trunk) not in live:
                tree.forget_guesses(trunk)

    def _comes_to(self, way: Way, length: int, token: int) -> bool:
        """Whether a token that was computed beside its trunk may still be one of its own."""
        if way.context.length < length:
            return self._goes_on(way)
        piece = self._pieces[token]
        return (
            way.context.length == length
            and len(way.begun) < len(piece)
            and piece.startswith(way.begun)
        )

    def _goes_on(self, way: Way) -> bool:
        trunk = way.context.trunk
        token = None if trunk is None else trunk.next_guess(way.context.length)
        return token is not None and self._pieces[token].startswith(way.begun)

    def _is_guessed(self, one: _Hypothesis | _Extension) -> bool:
        """Whether guesses go on behind it."""
        if isinstance(one, Hypothesis):
            return self._goes_on(Way(one.context, one.prefix.text))
        trunk, length = one.parent.trunk, one.parent.length
        if trunk is None or trunk.next_guess(length) != one.token:
            return False
        return trunk.next_guess(length + 1) is not None

    def _is_usual(self, one: _Hypothesis | _Extension, ahead: bytes) -> bool:
        """Whether the tokenizer's own cut goes through it."""
        if isinstance(one, Hypothesis):
            first = self._first(one.prefix.text, ahead)
            return first is not None and len(self._pieces[first]) > len(one.prefix.text)
        return self._first(self._pieces[one.token], ahead) == one.token

    def _first(self, begun: bytes, ahead: bytes) -> int | None:
        return next(self._cutter.cut(begun + ahead[:_LONGEST_LOOK]), None)
