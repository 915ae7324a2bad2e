"""The KV sequences of one model: which are empty, idle or in use, and how much they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from quorate.engines.scheduler.contract import BatchModel
from quorate.engines.scheduler.prefix_cache import PrefixCache


class Held(NamedTuple):
    """A KV sequence and the tokens it holds."""

    sequence: int
    tokens: list[int]


class SequencePool:
    """Hands out KV sequences, with as much of a prompt in them as can be reused.

    Tokens are counted as if no two sequences shared any. Where a model does share them between
    forks the count is too high, so that idle sequences go earlier than they must; it is never
    too low.

    Args:
        model: The model whose sequences these are; all must be empty.
        cache: Where sequences go that are no longer in use.

    Attributes:
        empty: Sequences that hold nothing.
        held_tokens: Tokens that all sequences hold, idle ones included.
    """

    def __init__(self, model: BatchModel, cache: PrefixCache) -> None:
        facts = model.facts
        self._model = model
        self._cache = cache
        self._can_fork = facts.capabilities.fork
        self._can_rewind = facts.capabilities.rewind
        self._kv_tokens = facts.kv_tokens
        self.empty = list(reversed(range(facts.sessions)))
        self.held_tokens = 0

    def claim(self, prompt: list[int], live: Iterable[Held]) -> Held:
        """Takes a sequence for a new prompt, with as much of its start as is held already.

        Takes over the idle sequence with the longest common prefix, or copies the prefix of one in
        use (``live``) where that one is longer.
        """
        idle, length = self._longest(prompt, map(Held._make, self._cache.items()))
        if self._can_fork:
            source, shared = self._longest(prompt, live)
            if source is not None and shared > length:
                return self.share(source, shared)
        if idle is None:
            return Held(self._vacate(), [])
        self._cache.take(idle.sequence)
        kept = self.shrink(idle.sequence, len(idle.tokens), length)
        return Held(idle.sequence, prompt[:kept])

    def share(self, source: Held, length: int) -> Held:
        """Takes a sequence that holds the first ``length`` tokens of another, or none of them.

        None where the model has let go of some; it never has of all that another holds.

        Raises:
            NoRoom: The model counts shared KV entries twice, and there is no room for that.
        """
        sequence = self._vacate()
        self.make_room(length)
        try:
            kept = self._model.copy(source.sequence, sequence, length)
        except BaseException:
            self.empty.append(sequence)
            raise
        self.held_tokens += kept
        return Held(sequence, source.tokens[:kept])

    def grow(self, tokens: int) -> None:
        """Counts tokens that were decoded into sequences in use."""
        self.held_tokens += tokens

    def shrink(self, sequence: int, held: int, length: int) -> int:
        """Cuts a sequence of ``held`` tokens down to ``length``; returns how many are left."""
        if length >= held:
            return held
        kept = self._model.truncate(sequence, length)
        self.held_tokens -= held - kept
        return kept

    def retire(self, sequence: int, tokens: list[int]) -> None:
        """Takes a sequence back, to be found again by its tokens."""
        if not self._cache.keep(sequence, tokens):
            self.discard(sequence, len(tokens))

    def discard(self, sequence: int, held: int) -> None:
        """Takes a sequence of ``held`` tokens back and empties it."""
        self.shrink(sequence, held, 0)
        self.empty.append(sequence)

    def make_room(self, tokens: int) -> None:
        """Evicts idle sequences, least recently used first, until ``tokens`` more fit."""
        while self.held_tokens + tokens > self._kv_tokens and self._evict_oldest():
            pass

    def evict_all(self) -> None:
        """Evicts every idle sequence."""
        while self._evict_oldest():
            pass

    def _longest(self, prompt: list[int], candidates: Iterable[Held]) -> tuple[Held | None, int]:
        best, longest = None, 0
        for held in candidates:
            length = self._cache.common(held.tokens, prompt)
            # A recurrent state cannot be cut: it serves as a whole or not at all.
            usable = self._can_rewind or length == len(held.tokens)
            if usable and length > longest:
                best, longest = held, length
        return best, longest

    def _vacate(self) -> int:
        if not self.empty and not self._evict_oldest():
            raise ValueError("every KV sequence is in use")
        return self.empty.pop()

    def _evict_oldest(self) -> bool:
        oldest = self._cache.oldest()
        if oldest is None:
            return False
        self.discard(oldest, len(self._cache.take(oldest)))
        return True
