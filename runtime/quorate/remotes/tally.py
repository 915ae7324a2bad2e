"""How many tokens a stream has cost so far, when nobody has counted them."""

from __future__ import annotations

_BYTES_PER_TOKEN = 4
_HELD_BACK_PIECES = 4


class Tally:
    """Estimates the tokens of a stream from its pieces.

    A piece holds at least one token, and most servers send one token in each, so the number of
    pieces is a lower bound and usually exact. Where a server packs several tokens into a piece,
    four bytes of UTF-8 are taken for a token: too many for most English text, too few for code
    and for scripts of which a character takes several tokens. The estimate is the larger of the
    two, and never more than ``max_tokens``, which the remote was told not to pass. What it cannot
    see is what a remote computes and does not stream, such as hidden reasoning; only
    ``max_tokens`` bounds that.

    Args:
        max_tokens: Most tokens of the answer.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._pieces = 0
        self._bytes = 0

    def add(self, size: int) -> None:
        """Counts a piece of so many bytes of UTF-8."""
        self._pieces += 1
        self._bytes += size

    @property
    def tokens(self) -> int:
        """The estimate."""
        return min(self._max_tokens, max(self._pieces, -(-self._bytes // _BYTES_PER_TOKEN)))

    @property
    def exceeded(self) -> bool:
        """Whether more pieces came than a remote that keeps to ``max_tokens`` sends.

        Text that was held back for a stop string may come as a few pieces without a token.
        """
        return self._pieces > self._max_tokens + _HELD_BACK_PIECES
