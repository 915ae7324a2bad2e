"""Draws tokens from the mixture.

The order is that of llama.cpp's default chain: logit bias, penalties, top-k, top-p, min-p,
temperature, draw; so are the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from quorate.engines.contract import EngineSampling, LogProbs
from quorate.ensemble.candidates import descend, draw, truncate
from quorate.ensemble.mixture import Mixture, Shortlist
from quorate.ensemble.penalties import Penalties
from quorate.ensemble.sampling_options import validate_bias
from quorate.errors import Internal, InvalidRequest
from quorate.request import SamplingOptions

DEFAULT_TEMPERATURE = 0.8
DEFAULT_TOP_K = 40
DEFAULT_TOP_P = 0.95
DEFAULT_MIN_P = 0.05

# Below it, differences between float32 log-probs overflow when divided; the draw is greedy long
# before.
_LEAST_TEMPERATURE = 1e-30
# Among more than so many it is no faster to look at the most probable tokens only.
_MOST_LISTED = 1024

_Number = TypeVar("_Number", int, float)


class Sampler:
    """Draws the tokens of one answer and remembers them for the penalties.

    Each step with a temperature takes one uniform number from PCG64 and inverts the distribution of
    the kept candidates in descending order, ids deciding among equals: equal mixtures, options and
    seed give equal tokens. Temperature 0 is greedy: the best token, the lowest id among equals.

    Args:
        options: Valid ones, see ``sampling_options.validate``. What is not set gets llama.cpp's
            default; penalties are then off. The seed in it is not looked at.
        vocabulary_size: Length of every mixture.
        seed: Seed of the generator, not negative.
        prompt: Tokens of the prompt, which count for the repetition penalty.

    Raises:
        InvalidRequest: Names the first id of ``logit_bias`` outside the vocabulary.
    """

    def __init__(
        self, options: SamplingOptions, vocabulary_size: int, seed: int, prompt: Sequence[int] = ()
    ) -> None:
        validate_bias(options, vocabulary_size)
        temperature = _given(options.temperature, DEFAULT_TEMPERATURE)
        self._greedy = temperature == 0
        self._temperature = max(temperature, _LEAST_TEMPERATURE)
        self._top_k = _given(options.top_k, DEFAULT_TOP_K)
        self._top_p = _given(options.top_p, DEFAULT_TOP_P)
        self._min_p = _given(options.min_p, DEFAULT_MIN_P)
        unlimited = self._top_k == 0 or self._top_k >= vocabulary_size
        self._truncates = not unlimited or self._top_p < 1 or self._min_p > 0
        self._penalties = Penalties(options, prompt)
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def sample(self, mixture: Mixture) -> int:
        """Chooses the next token and adds it to the history.

        Args:
            mixture: Of the members' distributions. The log-prob to report is the one it has there:
                before bias, temperature and truncation.

        Raises:
            InvalidRequest: Bias and penalties leave no token.
            Internal: The mixture has no token of any probability, or is not a number.
        """
        contenders = self._contenders(mixture)
        logits = self._penalties.apply(contenders)
        best = int(logits.argmax())
        if not logits[best] > -np.inf:
            raise _nothing_left(mixture.row)
        token = contenders.id_of(best if self._greedy else self._draw(logits))
        self._penalties.accept(token)
        return token

    def _contenders(self, mixture: Mixture) -> Shortlist:
        """All tokens that can be chosen, with some that cannot."""
        if self._greedy and self._penalties.idle:
            return mixture.best()
        count, touched = 1 if self._greedy else self._top_k, self._penalties.touched
        if count and count + len(touched) <= _MOST_LISTED:
            return mixture.shortlist(count, touched)
        return Shortlist(None, mixture.row)

    def _draw(self, logits: LogProbs) -> int:
        share = self._generator.random()
        if not self._truncates:
            return int(descend(logits, self._temperature, share)[-1])
        kept = truncate(logits, self._top_k, self._top_p, self._min_p)
        return draw(logits, kept, self._temperature, share)


def engine_sampling(
    options: SamplingOptions, seed: int, max_tokens: int, top_logprobs: int
) -> EngineSampling:
    """The same options, with the same defaults, for an engine that samples by itself.

    They are valid and act on no token, see ``acting_on_tokens``; the seed in them is not looked at.
    """
    return EngineSampling(
        temperature=_given(options.temperature, DEFAULT_TEMPERATURE),
        top_k=_given(options.top_k, DEFAULT_TOP_K),
        top_p=_given(options.top_p, DEFAULT_TOP_P),
        min_p=_given(options.min_p, DEFAULT_MIN_P),
        seed=seed,
        max_tokens=max_tokens,
        top_logprobs=top_logprobs,
    )


def _given(value: _Number | None, default: _Number) -> _Number:
    return default if value is None else value


def _nothing_left(mixture: LogProbs) -> InvalidRequest | Internal:
    if mixture.max() > -np.inf:
        return InvalidRequest(
            "sampling.logit_bias", "bias and penalties rule out every token; lower them"
        )
    return Internal("the mixture of the members' distributions holds no probable token")
