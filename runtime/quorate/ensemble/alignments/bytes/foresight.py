"""What of a text that will probably be told is worth computing ahead, and what no longer is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from quorate.engines.contract import ModelFacts
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.cutting import Cutter
from quorate.ensemble.guesses import reach_of

# Of a usual text: as many bytes as a block has tokens for.
_BYTES_PER_TOKEN = 4


class Way(NamedTuple):
    """A hypothesis, known or still computed, as far as guesses go on from it.

    Attributes:
        begun: Bytes already seen of its next token.
        weight: Its share of everything that is still possible.
    """

    context: Context
    begun: bytes
    weight: float


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

    def guesses(self, begun: bytes, ahead: bytes, room: int) -> Sequence[int]:
        """The tokens that a text will probably be cut into, as far as they can be computed ahead.

        The last of them is left out: it may go on beyond what is told.

        Args:
            begun: Bytes of the first token that were seen already.
            ahead: What follows them.
            room: Most tokens there is room for.
        """
        if not ahead or room <= 0:
            return ()
        most = min(self._most, room)
        found = list(islice(self._cutter.cut(begun + ahead), most + 1))
        return found[:-1]

    def look_ahead(self, tree: ContextTree, ways: Sequence[Way], ahead: bytes, room: int) -> None:
        """Starts on what follows the likeliest hypothesis, unless that is known or on its way."""
        context, begun, _ = max(ways, key=lambda way: way.weight)
        trunk = context.trunk
        if trunk is None or trunk.waiting or trunk.next_guess(context.length) is not None:
            return
        guesses = self.guesses(begun, ahead, room)
        if guesses:
            tree.look_ahead(context, guesses)

    def forget(self, tree: ContextTree, ways: Sequence[Way]) -> None:
        """Has sessions forget what none of the hypotheses may go on with any more."""
        if not any(trunk.beyond for trunk in tree.trunks):
            return
        live = {id(way.context.trunk) for way in ways if self._goes_on(way)}
        for trunk in tree.trunks:
            if id(trunk) not in live:
                tree.forget_guesses(trunk)

    def _goes_on(self, way: Way) -> bool:
        trunk = way.context.trunk
        token = None if trunk is None else trunk.next_guess(way.context.length)
        return token is not None and self._pieces[token].startswith(way.begun)
