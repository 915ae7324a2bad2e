"""What a stream may show of the vote besides its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.candidates import largest
from quorate.ensemble.seats import Seat
from quorate.request import TopCandidate, Vote

_Symbol = TypeVar("_Symbol")


def votes(
    seats: Sequence[Seat[_Symbol]], rows: Sequence[LogProbs], weights: Sequence[float], chosen: int
) -> tuple[Vote, ...]:
    """Tells what each member wanted, in the order of the members.

    Args:
        seats: The members.
        rows: What they gave last, float32 log-probs.
        weights: Their weights in this step.
        chosen: The symbol that was chosen.
    """
    return tuple(
        Vote(seat.model, *seat.voice.favourite(row), weight, float(row[chosen]))
        for seat, row, weight in zip(seats, rows, weights, strict=True)
    )


def top_candidates(
    mixture: LogProbs, pieces: Sequence[bytes], count: int
) -> tuple[TopCandidate, ...]:
    """The mixture's ``count`` most probable tokens, descending, the lower id first among equals.

    Tokens without any probability are left out.
    """
    return tuple(
        TopCandidate(token, pieces[token], float(mixture[token]))
        for token in largest(mixture, count).tolist()
    )
