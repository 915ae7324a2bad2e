"""How a tokenizer will probably cut a text: a guess by its vocabulary alone.

Tokens that are found by merging have ids in the order of their merges, in nearly every vocabulary
there is. So of all neighbours that are a token together those are merged first whose token has the
lowest id (as tiktoken does). SentencePiece merges whole texts; elsewhere a pre-tokenizer has cut
them into words before, nearly alike in all of them. Where the guess is wrong something is computed
for nothing, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from quorate.engines.byte_order import ByteOrder

# A word with the mark or the space before it, digits, marks, line ends, white space up to the last
# one before a word; every byte beyond ASCII for a letter.
_LETTER = rb"A-Za-z\x80-\xff"
_WORDS = (
    rb"[^\s0-9%(letter)s]?[%(letter)s]+| [%(letter)s]+|[0-9]{1,%(digits)d}"
    rb"| ?[^\s0-9%(letter)s]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NO_TOKEN = float("inf")


class Cutter:
    """Cuts texts as one tokenizer probably would.

    Args:
        order: The tokens of its vocabulary.
    """

    def __init__(self, order: ByteOrder) -> None:
        self._order = order
        digits = 1 if order.usual_id(b"12") is None else 3
        pattern = _WORDS % {b"letter": _LETTER, b"digits": digits}
        self._words = None if order.has_fallback else re.compile(pattern)

    def cut(self, text: bytes) -> Iterator[int]:
        """Yields the tokens of a text, up to what no token stands for."""
        words = [text] if self._words is None else self._words.findall(text)
        for word in words:
            for part in self._merged(word):
                token = self._order.usual_id(part)
                if token is None:
                    return
                yield token

    def _merged(self, word: bytes) -> list[bytes]:
        parts = [word[at : at + 1] for at in range(len(word))]
        ranks = [self._rank(*pair) for pair in pairwise(parts)]
        while ranks and (best := min(ranks)) != _NO_TOKEN:
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            del ranks[at]
            for beside in (at - 1, at):
                if 0 <= beside < len(ranks):
                    ranks[beside] = self._rank(parts[beside], parts[beside + 1])
        return parts

    def _rank(self, left: bytes, right: bytes) -> float:
        token = self._order.usual_id(left + right)
        return _NO_TOKEN if token is None else token
