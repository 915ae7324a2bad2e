"""What the sessions of one beam may hold, and what a step keeps where there is no room for all."""

from __future__ import annotations

from quorate.ensemble.alignments.bytes.beam import Pruning
from quorate.ensemble.alignments.bytes.contexts import Context, ContextTree
from quorate.ensemble.alignments.bytes.hypotheses import Extension, Grown, Hypothesis, Kept, prune
from quorate.request.plans import HEALING_KV_TOKENS


class Room:
    """KV tokens of one tree of contexts.

    Args:
        tree: What is held.
        pruning: What may be.
    """

    def __init__(self, tree: ContextTree, pruning: Pruning) -> None:
        self._tree = tree
        self._pruning = pruning

    @property
    def left(self) -> int:
        """Tokens behind the prompt that may still be held."""
        return self._pruning.max_kv_tokens - self._tree.kv_tokens

    @property
    def ahead(self) -> int:
        """Guesses there is room for, beside all that a step and healing may take."""
        return self.left - self._tree.guessed - self._pruning.width - HEALING_KV_TOKENS

    @property
    def for_healing_only(self) -> bool:
        """Whether no more may be taken than what healing needs."""
        return self.left <= HEALING_KV_TOKENS

    def prune(self, grown: Grown[Context]) -> Kept[Context]:
        """What is kept of what is possible: the best alone where there is no room for more."""
        kept = prune(grown, self._pruning.epsilon, self._pruning.width)
        needed, alone = len(kept.complete), len(kept.longer) + len(kept.complete) < 2
        if needed <= max(0, self.left - (0 if alone else HEALING_KV_TOKENS)):
            return kept
        everyone: list[Hypothesis[Context] | Extension[Context]] = [*kept.longer, *kept.complete]
        best = max(everyone, key=lambda one: one.weight)
        dropped = kept.dropped + sum(one.weight for one in everyone if one is not best)
        if isinstance(best, Hypothesis):
            return Kept([best], [], dropped)
        if self.left:
            return Kept([], [best], dropped)
        return Kept([], [], dropped + best.weight)
