"""Who wanted what: how far the members of a vote agreed on each token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

from quorate.v1 import inference_pb2, plan_pb2


class Agreement(Enum):
    """How the members' favourites relate to the token that was chosen."""

    ALL = "all"
    """Everybody's favourite was chosen."""
    SOME = "some"
    """Somebody's favourite was chosen, and somebody else wanted another."""
    NONE = "none"
    """The chosen token was nobody's favourite."""


def agreement(token: inference_pb2.Token) -> Agreement:
    """How far the members agreed on one token; without votes they did."""
    wanted = [vote.piece == token.piece for vote in token.votes]
    if all(wanted):
        return Agreement.ALL
    return Agreement.SOME if any(wanted) else Agreement.NONE


def disagreements(
    tokens: Sequence[inference_pb2.Token],
) -> list[tuple[int, inference_pb2.Token]]:
    """The tokens on which somebody wanted another, with their steps, counted from 1."""
    return [
        (step, token)
        for step, token in enumerate(tokens, 1)
        if agreement(token) is not Agreement.ALL
    ]


def by_words(tokens: Sequence[inference_pb2.Token]) -> bool:
    """Whether the tokens are the words of a byte-exact vote, which no vocabulary has."""
    return bool(tokens) and not any(token.HasField("token_id") for token in tokens)


def weights_moved(
    tokens: Sequence[inference_pb2.Token], members: Sequence[plan_pb2.Member]
) -> bool:
    """Whether some member voted with another weight than the plan gave it."""
    given = {member.model: member.weight for member in members}
    return any(
        not math.isclose(vote.weight, given.get(vote.model, vote.weight), abs_tol=1e-6)
        for token in tokens
        for vote in token.votes
    )


def summary(tokens: Sequence[inference_pb2.Token]) -> str:
    """One line that counts the tokens on which all agreed."""
    agreed = len(tokens) - len(disagreements(tokens))
    unit = "word" if by_words(tokens) else "token"
    return f"agreed on {agreed} of {len(tokens)} {unit}{'' if len(tokens) == 1 else 's'}"
