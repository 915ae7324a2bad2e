"""Reads from an answer how sure it is of itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quorate.request import Delta, ResponseOptions, Token, TopCandidate
from quorate.routing.confidence import Signals

_CANDIDATES = 5


@dataclass(slots=True)
class SignalReader:
    """Reads the tokens of one answer.

    The votes and candidates it needs are asked for beside what the caller asked for, and taken out
    again before the caller sees them.

    Args:
        shown: What the caller asked for.
        prompt_bytes: UTF-8 bytes of the prompt.
    """

    shown: ResponseOptions
    prompt_bytes: int
    _tokens: int = 0
    _logprobs: float = 0.0
    _least: float = 0.0
    _margins: float = 0.0
    _entropies: float = 0.0
    _disagreements: int = 0

    @property
    def needed(self) -> ResponseOptions:
        """What each step must show."""
        return ResponseOptions(max(self.shown.top_logprobs, _CANDIDATES), True)

    def read(self, delta: Delta) -> Delta:
        """Reads a delta; returns it with what the caller asked for and no more."""
        for token in delta.tokens:
            self._read(token)
        return replace(delta, tokens=tuple(self._narrowed(token) for token in delta.tokens))

    def signals(self) -> Signals:
        """What the answer told so far."""
        count = max(1, self._tokens)
        return Signals(
            mean_logprob=self._logprobs / count,
            least_logprob=self._least,
            margin=self._margins / count if self._tokens else 1.0,
            entropy=self._entropies / count,
            disagreement=self._disagreements / count,
            log_prompt_bytes=math.log1p(self.prompt_bytes),
        )

    def _read(self, token: Token) -> None:
        self._tokens += 1
        self._logprobs += token.logprob
        self._least = min(self._least, token.logprob)
        shares = [math.exp(candidate.logprob) for candidate in token.top]
        self._margins += _margin(shares)
        self._entropies += -math.fsum(p * math.log(p) for p in shares if p > 0)
        self._disagreements += any(not vote.is_for(token) for vote in token.votes)

    def _narrowed(self, token: Token) -> Token:
        top: Sequence[TopCandidate] = token.top[: self.shown.top_logprobs]
        votes = token.votes if self.shown.member_votes else ()
        logprob = token.logprob if self.shown.shows_logprobs else 0.0
        return replace(token, logprob=logprob, top=tuple(top), votes=votes)


def _margin(shares: Sequence[float]) -> float:
    if not shares:
        return 1.0
    return shares[0] - (shares[1] if len(shares) > 1 else 0.0)
