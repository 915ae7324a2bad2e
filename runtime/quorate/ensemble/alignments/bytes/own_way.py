"""What one member would say by itself behind what was chosen: its likeliest tokens, as bytes.

It is fed them before anybody has chosen them, and the others are told their bytes. A guess like any
other: its tokens lie beyond all contexts of their session, and are taken or forgotten as those are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quorate.engines.byte_order import ByteOrder, Prefix, PrefixSums
from quorate.engines.contract import LogProbs
from quorate.engines.vocabulary import END
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS, Hypothesis
from quorate.ensemble.alignments.bytes.trunk import Trunk


class OwnWay:
    """Goes on from a beam at rest.

    Args:
        tree: Of the beam.
        beam: Hypotheses whose rows are known.
        order: Of the vocabulary.
        epsilon: Share from which a token beside is worth a decode step.
    """

    def __init__(
        self,
        tree: ContextTree,
        beam: Sequence[Hypothesis[Context]],
        order: ByteOrder,
        epsilon: float,
    ) -> None:
        self._tree = tree
        self._order = order
        self._epsilon = epsilon
        best = max(beam, key=lambda one: one.weight)
        self._trunk: Trunk[Context] | None = best.context.trunk
        self._length = best.context.length
        self._row: LogProbs = best.context.row
        self._sums: PrefixSums | None = best.context.sums
        self._prefix: Prefix | None = best.prefix
        # Bytes that were seen of the next token before anything was guessed.
        self._seen = len(best.prefix.text)

    async def take(self, byte: int, room: int) -> LogProbs:
        """Goes on by a byte.

        Args:
            byte: Mostly the one that was likeliest.
            room: Tokens that may still be guessed.

        Returns:
            Log-probs of shape (257,) that hold but the likeliest next byte; the end where nothing
            can be guessed.

        Raises:
            WorkerLost: What ``Session.feed`` raises.
        """
        prefix = None if self._prefix is None else self._prefix.child(byte)
        trunk, self._prefix = self._trunk, prefix
        if prefix is None or trunk is None:
            return _only(END)
        token = self._best(prefix)
        piece = self._order.piece(token)
        if len(piece) > len(prefix.text):
            return _only(piece[len(prefix.text)])
        if not await self._go_behind(trunk, int(self._order.ids[token]), room):
            self._prefix = None
            return _only(END)
        piece = self._order.piece(self._best(self._order.root))
        return _only(piece[0])

    def _best(self, prefix: Prefix) -> int:
        """Rank of the likeliest token that begins with some bytes."""
        ids = self._order.ids[prefix.low : prefix.high]
        return prefix.low + int(self._row[ids].argmax())

    async def _go_behind(self, trunk: Trunk[Context], token: int, room: int) -> bool:
        """Goes on behind a token; returns whether what follows is known."""
        length = self._length + 1
        known = trunk.known(length) if trunk.guessed(self._length, (token,)) else None
        if known is None:
            if trunk.waiting or trunk.deepest > self._length or room < 1:
                return False
            self._start_beside(trunk, room - 1)
            known = await self._tree.guess(trunk, self._length, token)
        self._length, self._row, self._sums = length, known.row, known.sums
        self._prefix, self._seen = self._order.root, 0
        return self._best_ends_nowhere()

    def _best_ends_nowhere(self) -> bool:
        """Whether a token with bytes is likelier than any end."""
        ending = self._order.ending
        best = float(self._row[self._order.ids[self._best(self._order.root)]])
        return not len(ending) or best > float(self._row[ending].max())

    def _start_beside(self, trunk: Trunk[Context], room: int) -> None:
        """Starts on the tokens that the one behind which it goes on begins with."""
        whole, sums = self._prefix, self._sums
        if whole is None or sums is None:
            return
        prefix: Prefix | None = self._order.find(whole.text[: self._seen])
        for byte in whole.text[self._seen : -1]:
            prefix = None if prefix is None else prefix.child(byte)
            if prefix is None:
                return
            least = self._epsilon * float(sums[prefix.high] - sums[prefix.low])
            for token in self._order.ids[prefix.low : prefix.longer].tolist():
                if room > 0 and float(np.exp(self._row[token])) > least:
                    self._tree.compute_beside(trunk, self._length, token)
                    room -= 1


def _only(symbol: int) -> LogProbs:
    row = np.full(SYMBOLS, -np.inf, np.float32)
    row[symbol] = 0.0
    return row
