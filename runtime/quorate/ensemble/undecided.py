"""Tokens that wait until it is decided how much of their bytes is text of the answer."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from quorate.request import Token


def cut(token: Token, size: int) -> Token:
    """A token with so many of its first bytes, and with as many in the votes that are for it."""
    piece = token.piece[:size]
    votes = (replace(one, piece=piece) if one.is_for(token) else one for one in token.votes)
    return replace(token, piece=piece, votes=tuple(votes))


class UndecidedTokens:
    """Holds tokens back whose bytes may still turn out to be no part of the answer.

    Those of a stop string, of a code point that never becomes whole, and those beyond the byte
    limit are cut off the tokens as they are off the text: the pieces of all tokens together are the
    bytes of the text. A token of which nothing is left is told all the same: it was decided, and
    counts.
    """

    def __init__(self) -> None:
        self._tokens: deque[Token] = deque()
        self._decided = 0

    def push(self, token: Token) -> None:
        """Adds a token; nothing of it is decided yet."""
        self._tokens.append(token)

    def take(self, size: int) -> tuple[Token, ...]:
        """So many bytes more are text: the tokens that are decided wholly."""
        self._decided += size
        taken = []
        while self._tokens and len(self._tokens[0].piece) <= self._decided:
            token = self._tokens.popleft()
            self._decided -= len(token.piece)
            taken.append(token)
        return tuple(taken)

    def finish(self, size: int) -> tuple[Token, ...]:
        """So many bytes more are text, and no others: the tokens that are left, cut to them."""
        taken = [*self.take(size)]
        while self._tokens:
            token = self._tokens.popleft()
            taken.append(cut(token, self._decided))
            self._decided = 0
        return tuple(taken)
