"""How sure an answer is of itself, and how often answers that are so sure are right. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

# Log-odds beyond which a probability is 0 or 1 for all that it matters here.
_MAX_LOG_ODDS = 30.0


@dataclass(frozen=True, slots=True)
class Signals:
    """What an answer tells of itself.

    Attributes:
        mean_logprob: Mean log-prob of its tokens under the mixture, in nats.
        least_logprob: The lowest of them.
        margin: Mean difference in probability between the best candidate and the next.
        entropy: Mean entropy of the best candidates' probabilities, in nats.
        disagreement: Share of the tokens that some member would have chosen differently.
        log_prompt_bytes: Natural log of one more than the prompt's bytes.
    """

    mean_logprob: float = 0.0
    least_logprob: float = 0.0
    margin: float = 1.0
    entropy: float = 0.0
    disagreement: float = 0.0
    log_prompt_bytes: float = 0.0

    def vector(self) -> tuple[float, ...]:
        """The signals in the order of their names above."""
        return tuple(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True)
class Calibration:
    """From signals to the share of right answers.

    A sum of the signals is read as log-odds, which with one signal is Platt's method (Probabilistic
    outputs for support vector machines, 1999), or by a curve that rises with it. Fitted by
    ``calibration.fit_confidence``.

    Attributes:
        weights: Of each signal, in the order of ``Signals.vector``.
        bias: The sum where all signals are 0.
        cases: Labelled answers it was fitted to.
        curve: Sums and shares, both rising; linear between them, and level beyond. Empty where the
            sum is read as log-odds.
    """

    weights: tuple[float, ...]
    bias: float
    cases: int = 0
    curve: tuple[tuple[float, float], ...] = ()

    def score(self, signals: Signals) -> float:
        """The weighted sum of the signals."""
        return self.bias + math.fsum(
            weight * value for weight, value in zip(self.weights, signals.vector(), strict=True)
        )

    def confidence(self, signals: Signals) -> float:
        """Share of right answers among those with such signals, in [0, 1]."""
        odds = self.score(signals)
        if self.curve:
            return _read(self.curve, odds)
        return 1.0 / (1.0 + math.exp(-max(-_MAX_LOG_ODDS, min(_MAX_LOG_ODDS, odds))))


def _read(curve: Sequence[tuple[float, float]], score: float) -> float:
    after = bisect_left(curve, (score, -math.inf))
    if after in (0, len(curve)):
        return curve[min(after, len(curve) - 1)][1]
    (low, less), (high, more) = curve[after - 1 : after + 1]
    return less + (more - less) * (score - low) / (high - low)


@dataclass(frozen=True, slots=True)
class ConfidenceTable:
    """What is known of the confidence of votes.

    Attributes:
        calibrations: By key of a vote (``forecast.vote_key``) and task; task "" is all of them.
    """

    calibrations: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)

    def confidence(self, key: str, task: str, signals: Signals) -> float:
        """How sure an answer is, in [0, 1].

        Where nothing was calibrated it is the geometric mean of the tokens' probabilities: it rises
        with how sure the answer is, and is no share of right answers.
        """
        known = self.calibrations.get((key, task)) or self.calibrations.get((key, ""))
        if known is None:
            return math.exp(min(0.0, signals.mean_logprob))
        return known.confidence(signals)
