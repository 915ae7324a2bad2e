"""Which idle KV sequences hold which tokens. Knows nothing of the model."""

from __future__ import annotations

from collections.abc import ItemsView, Sequence

from quorate.engines.prefixes import common_prefix


class PrefixCache:
    """Idle sequences with their tokens, least recently used first.

    Args:
        minimum_tokens: A shorter common prefix is not worth a sequence: decoding that few tokens
            with the rest of the prompt costs next to nothing, and BOS alone is common to all.
    """

    def __init__(self, minimum_tokens: int = 4) -> None:
        self._minimum = minimum_tokens
        self._idle: dict[int, list[int]] = {}

    def keep(self, sequence: int, tokens: list[int]) -> bool:
        """Keeps a sequence as the most recently used one; False where it is not worth it."""
        if len(tokens) < self._minimum:
            return False
        self._idle[sequence] = tokens
        return True

    def take(self, sequence: int) -> list[int]:
        """Gives a sequence up and returns its tokens."""
        return self._idle.pop(sequence)

    def oldest(self) -> int | None:
        """The least recently used sequence, if there is any."""
        return next(iter(self._idle), None)

    def items(self) -> ItemsView[int, list[int]]:
        """Every idle sequence with its tokens."""
        return self._idle.items()

    def common(self, held: Sequence[int], prompt: Sequence[int]) -> int:
        """Length of a usable common prefix; 0 where there is none.

        The last token of the prompt never counts: it must be decoded to give log-probs.
        """
        length = common_prefix(held, prompt, len(prompt) - 1)
        return length if length >= self._minimum else 0
