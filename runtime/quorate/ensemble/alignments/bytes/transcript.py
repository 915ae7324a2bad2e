"""The bytes of an answer, put together to words with their probabilities and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate.ensemble.alignments.bytes.words import WordCutter
from quorate.ensemble.transcript import Transcript
from quorate.request import Delta, StoppingOptions, Token, Vote


class WordTranscript(Transcript):
    """``Transcript`` whose symbols are bytes and whose tokens are words.

    A word is told once the next one has begun, together with its text. Bytes that are cut off the
    text are no part of any word.
    """

    def __init__(self, stopping: StoppingOptions) -> None:
        super().__init__(stopping)
        self._words = WordBuilder()

    def _told(self, text: str, tokens: Sequence[Token]) -> Sequence[Delta]:
        return _deltas(self._completed(tokens))

    def _last_told(self, text: str, tokens: Sequence[Token]) -> Sequence[Delta]:
        kept = [token for token in tokens if token.piece]
        return _deltas([*self._completed(kept), *self._words.finish()])

    def _completed(self, tokens: Sequence[Token]) -> list[Token]:
        return [word for token in tokens for word in self._words.push(token)]


def _deltas(words: Sequence[Token]) -> Sequence[Delta]:
    text = b"".join(word.piece for word in words).decode(errors="replace")
    return (Delta(text, tuple(words)),) if words else ()


class WordBuilder:
    """Gives the words of an answer as they become complete."""

    def __init__(self) -> None:
        self._cutter = WordCutter()
        self._bytes: list[Token] = []

    def push(self, byte: Token) -> tuple[Token, ...]:
        """Adds a byte and returns the word that it shows to be complete, if any."""
        self._bytes.append(byte)
        begun = self._cutter.push(byte.piece[0])
        if not begun:
            return ()
        word, self._bytes = self._bytes[:-begun], self._bytes[-begun:]
        return (_word(word),)

    def finish(self) -> tuple[Token, ...]:
        """Returns the last word, if there is one."""
        word, self._bytes = self._bytes, []
        return (_word(word),) if word else ()


def _word(chosen: Sequence[Token]) -> Token:
    piece = b"".join(byte.piece for byte in chosen)
    first = chosen[0]
    return Token(
        token_id=None,
        piece=piece,
        logprob=math.fsum(byte.logprob for byte in chosen),
        top=first.top,
        votes=tuple(
            vote for cast in first.votes if (vote := _vote(cast.model, piece, chosen)) is not None
        ),
        tied=any(byte.tied for byte in chosen),
    )


def _vote(model: str, piece: bytes, chosen: Sequence[Token]) -> Vote | None:
    """A member's vote on a whole word; None where it was dropped within.

    It is the word itself as far as the member agreed, and its most probable piece from there.
    """
    cast = [vote for byte in chosen for vote in byte.votes if vote.model == model]
    if len(cast) < len(chosen):
        return None
    preferred, logprob = b"", 0.0
    while len(preferred) < len(piece) and piece.startswith(preferred):
        top = cast[len(preferred)]
        logprob += top.logprob
        if not top.piece:
            break
        preferred += top.piece
    chosen_logprob = math.fsum(vote.chosen_logprob for vote in cast)
    if preferred.startswith(piece):
        # Its most probable piece may reach beyond the word, whose own log-prob is known.
        preferred, logprob = piece, chosen_logprob
    return Vote(model, preferred, logprob, cast[0].weight, chosen_logprob)
