"""The bytes of an answer, put together to words with their probabilities and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.ensemble.words import WordCutter
from quorate.request import Token, TopCandidate, Vote


@dataclass(frozen=True, slots=True)
class ByteStep:
    """One chosen byte.

    Attributes:
        logprob: Under the mixture, in nats.
        top: The mixture's best candidates for it.
        votes: What each member would have gone on with.
        tied: Whether a majority vote had several winners.
    """

    byte: bytes
    logprob: float
    top: tuple[TopCandidate, ...] = ()
    votes: tuple[Vote, ...] = ()
    tied: bool = False


class PieceBuilder:
    """Gives the words of an answer as they become complete."""

    def __init__(self) -> None:
        self._cutter = WordCutter()
        self._steps: list[ByteStep] = []

    def push(self, step: ByteStep) -> tuple[Token, ...]:
        """Adds a byte and returns the word that it shows to be complete, if any."""
        self._steps.append(step)
        begun = self._cutter.push(step.byte[0])
        if not begun:
            return ()
        word, self._steps = self._steps[:-begun], self._steps[-begun:]
        return (_token(word),)

    def finish(self) -> tuple[Token, ...]:
        """Returns the last word, if there is one."""
        word, self._steps = self._steps, []
        return (_token(word),) if word else ()


def _token(steps: Sequence[ByteStep]) -> Token:
    piece = b"".join(step.byte for step in steps)
    first = steps[0]
    return Token(
        token_id=None,
        piece=piece,
        logprob=math.fsum(step.logprob for step in steps),
        top=first.top,
        votes=tuple(
            vote for cast in first.votes if (vote := _vote(cast.model, piece, steps)) is not None
        ),
        tied=any(step.tied for step in steps),
    )


def _vote(model: str, piece: bytes, steps: Sequence[ByteStep]) -> Vote | None:
    """A member's vote on a whole word; None where it was dropped within.

    What it wanted is the word itself as far as it agreed, and its favourite from there.
    """
    cast = [vote for step in steps for vote in step.votes if vote.model == model]
    if len(cast) < len(steps):
        return None
    wanted, logprob = b"", 0.0
    while len(wanted) < len(piece) and piece.startswith(wanted):
        favourite = cast[len(wanted)]
        logprob += favourite.logprob
        if not favourite.piece:
            break
        wanted += favourite.piece
    chosen = math.fsum(vote.chosen_logprob for vote in cast)
    if wanted.startswith(piece):
        # Its favourite may reach beyond the word; of the word it thinks what it thinks.
        wanted, logprob = piece, chosen
    return Vote(model, wanted, logprob, cast[0].weight, chosen)
