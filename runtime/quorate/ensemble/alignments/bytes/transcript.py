"""The bytes of an answer, put together to words with their probabilities and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate.ensemble.alignments.bytes.words import WordCutter
from quorate.ensemble.transcript import Transcript
from quorate.request import Delta, StoppingOptions, Token, Vote


class WordTranscript(Transcript):
    """``Transcript`` whose symbols are bytes and whose tokens are words.

    A word is told once the next one has begun, together with its text.
    """

    def __init__(self, stopping: StoppingOptions) -> None:
        super().__init__(stopping)
        self._words = WordBuilder()
        self._pending = ""

    def _told(self, text: str, token: Token) -> Sequence[Delta]:
        words = self._words.push(token)
        if self.ended is not None:
            return (Delta(self._pending + text, (*words, *self._words.finish())),)
        if not words:
            self._pending += text
            return ()
        # What this byte completed begins the next word.
        told, self._pending = self._pending, text
        return (Delta(told, words),)

    def _rest(self, text: str) -> Sequence[Delta]:
        told, words = self._pending + text, self._words.finish()
        return (Delta(told, words),) if told or words else ()


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
