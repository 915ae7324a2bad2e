"""Log-probs as OpenAI tells them. Pure, and lean: this runs for every token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from quorate.api.http.extension import piece_text
from quorate.request import Token, TopCandidate

_UNLIKELY = -9999.0


def told_logprobs(tokens: Iterable[Token]) -> list[dict[str, Any]]:
    """Each token that gives text, with its candidates."""
    return [
        {**_told(token), "top_logprobs": list(map(_told, possible(token)))}
        for token in tokens
        if not token.control
    ]


def logprob_of(token: Token | TopCandidate) -> float:
    """OpenAI's own number stands for what no mixture gives, since JSON has no infinity."""
    return token.logprob if math.isfinite(token.logprob) else _UNLIKELY


def possible(token: Token) -> Sequence[TopCandidate]:
    """The candidates that the mixture does not rule out."""
    return [one for one in token.top if math.isfinite(one.logprob)]


def _told(token: Token | TopCandidate) -> dict[str, Any]:
    return {
        "token": piece_text(token.piece),
        "logprob": logprob_of(token),
        "bytes": list(token.piece),
    }
