"""What a stream may show of the vote besides its outcome."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.contract import LogProbs
from quorate.ensemble.candidates import largest
from quorate.generation import TopCandidate, Vote


def votes(
    models: Sequence[str],
    rows: Sequence[LogProbs],
    weights: Sequence[float],
    chosen: int,
    pieces: Sequence[bytes],
) -> tuple[Vote, ...]:
    """Tells what each member wanted, in the order of the members.

    Args:
        models: Ids of the members.
        rows: Their log-probs, float32 of shape (vocabulary,).
        weights: Their weights in this step.
        chosen: Id of the token that was chosen.
        pieces: Bytes of each token, indexed by id.
    """
    cast = []
    for model, row, weight in zip(models, rows, weights, strict=True):
        favourite = int(row.argmax())
        cast.append(
            Vote(model, pieces[favourite], float(row[favourite]), weight, float(row[chosen]))
        )
    return tuple(cast)


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
