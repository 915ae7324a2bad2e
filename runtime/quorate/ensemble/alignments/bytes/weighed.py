"""The hypotheses of one beam, weighed: the distribution of the next byte. No sessions, no waits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quorate.engines.byte_order import ByteOrder
from quorate.engines.contract import LogProbs
from quorate.ensemble.alignments.bytes import hypotheses
from quorate.ensemble.alignments.bytes.contexts import Context
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS, Grown, Hypothesis


class WeighedBeam:
    """Hypotheses whose rows are known, and what was pruned beside them.

    Args:
        order: Of the vocabulary.

    Attributes:
        hypotheses: In any order.
        lost: Share of everything that is still possible which none of them holds.
        probs: The distribution of the next byte, as it was last weighed.
        row: Its logs, float32 of shape (257,), overwritten each time.
    """

    def __init__(self, order: ByteOrder) -> None:
        self.hypotheses: list[Hypothesis[Context]] = []
        self.lost = 0.0
        self.probs: hypotheses.ByteProbs = np.empty(SYMBOLS)
        self.row: LogProbs = np.empty(SYMBOLS, np.float32)
        self._order = order

    @property
    def best(self) -> Hypothesis[Context]:
        """The one that weighs most."""
        return max(self.hypotheses, key=lambda one: one.weight)

    def weigh(self) -> None:
        """Renormalises the weights and computes the distribution of the next byte anew."""
        whole = sum(one.weight for one in self.hypotheses) + self.lost
        self.hypotheses = [
            Hypothesis(one.context, one.prefix, one.scale / whole, one.weight / whole)
            for one in self.hypotheses
        ]
        self.lost /= whole
        self.probs = hypotheses.next_bytes(self.hypotheses, self.lost)
        with np.errstate(divide="ignore"):
            np.log(self.probs, out=self.row, casting="same_kind")

    def grow(self, byte: int) -> Grown[Context]:
        """What is possible behind a byte that has a probability."""
        probability = float(self.probs[byte])
        return hypotheses.grow(self.hypotheses, byte, probability, self._order)

    def ends_token(self, byte: int) -> bool:
        """Whether the likeliest of all tokens that go on with a byte ends there, unguessed."""
        best, ends = 0.0, False
        for one in self.hypotheses:
            prefix, context, scale = one.prefix.child(byte), one.context, one.scale
            if prefix is None:
                continue
            longer = scale * float(context.sums[prefix.high] - context.sums[prefix.longer])
            if longer > best:
                best, ends = longer, False
            for token in self._order.ids[prefix.low : prefix.longer].tolist():
                weight = scale * float(np.exp(context.row[token]))
                if weight > best:
                    trunk = context.trunk
                    best = weight
                    ends = trunk is None or not trunk.guessed(context.length, (token,))
        return ends

    def begin(self, contexts: Sequence[tuple[Context, float]]) -> list[Hypothesis[Context]]:
        """Takes in contexts that have just become known; returns what begins with them."""
        begun = [hypotheses.begun(context, self._order, weight) for context, weight in contexts]
        self.hypotheses = [*self.hypotheses, *begun]
        return begun
