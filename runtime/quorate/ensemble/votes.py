"""What a stream may show of a step besides its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quorate.engines.contract import LogProbs
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.member import Member
from quorate.ensemble.mixture import Mixture
from quorate.request import ResponseOptions, Token, TopCandidate, Vote
from quorate.sampling.candidates import largest


def token_of(
    chosen: int,
    mixture: Mixture,
    rows: Sequence[LogProbs],
    tied: bool,
    ensemble: Ensemble[Any],
    response: ResponseOptions,
) -> Token:
    """The chosen symbol with all that was asked to be shown of it.

    ``rows`` are the float32 log-probs that were mixed, of those who voted; several winners of a
    majority vote are ``tied``.
    """
    alignment = ensemble.alignment
    pieces, id_of = alignment.pieces, alignment.token_id
    count = response.top_logprobs
    return Token(
        id_of(chosen),
        pieces[chosen],
        mixture.logprob(chosen) if response.shows_logprobs else 0.0,
        top_candidates(mixture, pieces, count, id_of) if count else (),
        votes(ensemble.voters, rows, ensemble.weights, chosen) if response.member_votes else (),
        tied,
        alignment.has_token_ids and chosen in alignment.vocabulary.control,
    )


def votes(
    members: Sequence[Member[Any]], rows: Sequence[LogProbs], weights: Sequence[float], chosen: int
) -> tuple[Vote, ...]:
    """What each member found most probable, in the order of the members, by its last row."""
    return tuple(
        Vote(member.model, *member.predictor.top_piece(row), weight, float(row[chosen]))
        for member, row, weight in zip(members, rows, weights, strict=True)
    )


def top_candidates(
    mixture: Mixture,
    pieces: Sequence[bytes],
    count: int,
    id_of: Callable[[int], int | None] = int,
) -> tuple[TopCandidate, ...]:
    """The mixture's ``count`` most probable symbols, descending, the lower id first among equals.

    Symbols without any probability are left out. ``id_of`` gives the token id of an index.
    """
    listed = mixture.shortlist(count)
    best = [
        (listed.id_of(position), float(listed.logprobs[position]))
        for position in largest(listed.logprobs, count).tolist()
    ]
    return tuple(TopCandidate(id_of(index), pieces[index], logprob) for index, logprob in best)
