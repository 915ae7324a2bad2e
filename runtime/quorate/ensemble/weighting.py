"""Where the members' weights come from, step by step. Pure: no engines, no clock.

Each weigher starts from the shares of the plan, its priors, and gives shares that sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from quorate.engines.contract import LogProbs

PROMPT_TEMPERATURE = 0.1
"""Temperature of weights by the prompt, in bits per byte: so much difference is a factor of e."""

CONFIDENCE_TEMPERATURE = 0.5
"""Nats of entropy that count as a factor of e."""

SURENESS_TEMPERATURE = 2.0
"""Nats of entropy that count as a factor of e beside the evidence."""

# One surprise must not outlast many bytes, and no member is ever beyond coming back.
_LEAST_LOGPROB = -25.0
# Shares may vanish on the way here, and no logarithm may.
_LEAST_PRIOR = math.ulp(0.0)


class Weigher(Protocol):
    """Gives the weights of one request's members."""

    def weights(self, rows: Sequence[LogProbs]) -> list[float]:
        """Shares of the members at this step, summing to 1, by their float32 log-probs."""
        ...

    def observe(self, logprobs: Sequence[float], size: int) -> None:
        """Learns what each member gave the chosen symbol, in nats, and how many bytes it has."""
        ...

    def drop(self, index: int) -> None:
        """Forgets a member; the others share its weight."""
        ...


class StaticWeights:
    """The plan's shares, whatever happens."""

    def __init__(self, priors: Sequence[float]) -> None:
        self._shares = list(priors)

    def weights(self, rows: Sequence[LogProbs]) -> list[float]:
        """See ``Weigher``."""
        return self._shares

    def observe(self, logprobs: Sequence[float], size: int) -> None:
        """Learns nothing."""

    def drop(self, index: int) -> None:
        """See ``Weigher``."""
        self._shares = shares([s for i, s in enumerate(self._shares) if i != index])


class BayesianWeights:
    """A member's weight grows with how well it predicted the last bytes.

    The weight of member i is its prior times exp(s_i), and after every byte s_i becomes
    ``forgetting`` · s_i + log p_i(byte). Without forgetting this is the posterior of a mixture over
    whole texts, whose code length exceeds the best member's by at most -log2 of its prior. With
    forgetting it follows a text that changes its kind (Bayesian model averaging with a forgetting
    factor: Raftery, Kárný, Ettler 2010). There the evidence against a member is limited to one nat
    for each byte remembered, 1 / (1 - forgetting): what it was wrong about a line ago says little
    of what it knows next, and coming back must not take longer than falling behind. And of members
    that did as well, the one that is surer of the next byte weighs more, by exp(-entropy): what a
    specialist knows and the others do not begins where they become unsure.

    Args:
        forgetting: In (0, 1]; 1 forgets nothing.
        evidence: What the members made of the text before, in nats, as ``evidence`` adds it up.
    """

    def __init__(
        self, priors: Sequence[float], forgetting: float, evidence: Sequence[float] | None = None
    ) -> None:
        self._priors = [math.log(max(prior, _LEAST_PRIOR)) for prior in priors]
        self._forgetting = forgetting
        self._limit = 1 / (1 - forgetting) if forgetting < 1 else math.inf
        self._evidence = self._limited(evidence or [0.0] * len(priors))

    def weights(self, rows: Sequence[LogProbs]) -> list[float]:
        """See ``Weigher``."""
        logs = [p + e for p, e in zip(self._priors, self._evidence, strict=True)]
        if rows and self._limit < math.inf:
            logs = [
                log - entropy(row) / SURENESS_TEMPERATURE
                for log, row in zip(logs, rows, strict=True)
            ]
        highest = max(logs)
        return shares([math.exp(log - highest) for log in logs])

    def observe(self, logprobs: Sequence[float], size: int) -> None:
        """See ``Weigher``."""
        kept = self._forgetting**size
        # A control token has no bytes and makes nobody forget; what it tells counts all the same.
        floor = _LEAST_LOGPROB * max(1, size)
        self._evidence = self._limited(
            [
                kept * evidence + max(logprob, floor)
                for evidence, logprob in zip(self._evidence, logprobs, strict=True)
            ]
        )

    def drop(self, index: int) -> None:
        """See ``Weigher``."""
        del self._priors[index], self._evidence[index]

    def _limited(self, evidence: Sequence[float]) -> list[float]:
        """The evidence against each member, compared with the best."""
        best = max(evidence)
        return [max(one - best, -self._limit) for one in evidence]


class ConfidentWeights:
    """A member's weight grows as the entropy of its row falls.

    The weight is the prior times exp(-entropy / temperature), both in nats.
    """

    def __init__(
        self, priors: Sequence[float], temperature: float = CONFIDENCE_TEMPERATURE
    ) -> None:
        self._priors = list(priors)
        self._temperature = temperature

    def weights(self, rows: Sequence[LogProbs]) -> list[float]:
        """See ``Weigher``."""
        return _favouring_low(self._priors, [entropy(row) for row in rows], self._temperature)

    def observe(self, logprobs: Sequence[float], size: int) -> None:
        """Learns nothing."""

    def drop(self, index: int) -> None:
        """See ``Weigher``."""
        del self._priors[index]


def prompt_shares(
    priors: Sequence[float], bits_per_byte: Sequence[float], temperature: float = PROMPT_TEMPERATURE
) -> list[float]:
    """Shares by how well each member predicts the prompt: the prior times exp(-bits / temperature).

    Bits per byte, because log-probs of tokens do not compare between tokenizers.
    """
    return _favouring_low(priors, bits_per_byte, temperature)


def evidence(logprobs: Sequence[float], forgetting: float) -> float:
    """What log-probs of a text's bytes are worth at its end, in nats; see ``BayesianWeights``."""
    total = 0.0
    for logprob in logprobs:
        total = forgetting * total + max(logprob, _LEAST_LOGPROB)
    return total


def shares_along(
    priors: Sequence[float], logprobs: Sequence[Sequence[float]], forgetting: float
) -> list[float]:
    """Mean of the Bayesian weights along a text, the priors for an empty one.

    What an answer to a text will be about is not what the text ended with, but any part of it: a
    question in two parts is worth a share to whoever knows either. Each member's ``logprobs`` are
    of every byte, in nats, as many for each.
    """
    weigher = BayesianWeights(priors, forgetting)
    totals = [0.0] * len(priors)
    for step in zip(*logprobs, strict=True):
        weigher.observe(step, 1)
        for index, share in enumerate(weigher.weights(())):
            totals[index] += share
    return shares(totals) if any(totals) else list(priors)


def bits_per_byte(logprobs: Sequence[float]) -> float:
    """Bits per byte of a text, by the log-probs of its bytes in nats; 0 for an empty one.

    What a member finds impossible is bounded, so that no share of the prompt's can vanish.
    """
    if not logprobs:
        return 0.0
    bounded = [max(logprob, _LEAST_LOGPROB) for logprob in logprobs]
    return -math.fsum(bounded) / math.log(2) / len(bounded)


def entropy(row: LogProbs) -> float:
    """Entropy in nats of a distribution of normalised log-probs, float32."""
    # What is less probable than exp(-80) adds nothing, and exp() of it is ten times slower.
    logs = np.maximum(row, np.float32(-80))
    terms = np.exp(logs)
    terms *= logs
    # numpy adds in pairs, which float32 is precise enough for.
    return -float(terms.sum())


def _favouring_low(
    priors: Sequence[float], figures: Sequence[float], temperature: float
) -> list[float]:
    """Each prior times exp(-figure / temperature), as shares."""
    lowest = min(figures)
    return shares(
        [
            prior * math.exp((lowest - figure) / temperature)
            for prior, figure in zip(priors, figures, strict=True)
        ]
    )


def shares(weights: Sequence[float]) -> list[float]:
    """Weights that sum to 1. Where all of them have vanished, everybody weighs the same."""
    total = math.fsum(weights)
    if not total:
        return [1.0 / len(weights)] * len(weights)
    return [weight / total for weight in weights]
