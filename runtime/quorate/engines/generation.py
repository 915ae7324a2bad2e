"""What is asked of a generation, which samples tokens by itself, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SAMPLED_AHEAD = 128
"""Tokens that a generation runs ahead of its reader, where our sampler draws them.

Enough that nobody waits for a reader who only lags, and little enough that one who has stopped
reading costs a moment's work.
"""


@dataclass(frozen=True, slots=True)
class EngineSampling:
    """How tokens are sampled without a vote; nothing is left to be chosen.

    Attributes:
        temperature: 0 is greedy.
        top_k: Most candidates that are kept; 0 keeps all.
        top_p: Probability that the kept candidates have together; 1 keeps all.
        min_p: Least probability of a candidate, as a share of the most probable one's; 0 keeps all.
        seed: Equal seeds give equal tokens where everything else is equal.
        max_tokens: Most tokens that are sampled, at least 1; an end of generation counts as one.
        top_logprobs: Most probable tokens told beside each that was sampled.
        repetition_penalty: Greater than 0; 1 is none.
        presence_penalty: Subtracted once from a token that was sampled already; 0 is none.
        frequency_penalty: Subtracted for each time that a token was sampled already; 0 is none.
        logit_bias: Token ids, each with what is added to its log-prob, in nats.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    max_tokens: int
    top_logprobs: int
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()

    @property
    def acts_on_tokens(self) -> bool:
        """Whether bias or penalties change the probabilities of single tokens.

        Engines with a sampler of their own apply them behind the truncation, and our sampler before
        it, so that those refuse them.
        """
        penalised = self.repetition_penalty != 1 or self.presence_penalty or self.frequency_penalty
        return bool(penalised or self.logit_bias)


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One token of a generation.

    Attributes:
        token: Its id; never one that is masked in a row.
        logprob: What a row of ``feed`` would hold for it: normalised, before temperature and
            truncation.
        top: The most probable tokens of that row with their log-probs, best first; those without
            any probability are left out.
        masked_mass: The probability that the mask took from that row, in [0, 1]; 0 where the engine
            does not tell.
    """

    token: int
    logprob: float
    top: Sequence[tuple[int, float]] = ()
    masked_mass: float = 0.0
