"""Draws tokens from one row after the other: of a mixture, or of a model that goes on alone.

The order is that of llama.cpp's default chain: logit bias, penalties, top-k, top-p, min-p,
temperature, draw; so are the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from quorate.errors import Internal, InvalidRequest
from quorate.request import SamplingOptions
from quorate.sampling.candidates import Logits, descend, draw, truncate
from quorate.sampling.options import validate_bias
from quorate.sampling.penalties import Penalties

DEFAULT_TEMPERATURE = 0.8
DEFAULT_TOP_K = 40
DEFAULT_TOP_P = 0.95
DEFAULT_MIN_P = 0.05

# Below it, differences between float32 log-probs overflow when divided; the draw is greedy long
# before.
_LEAST_TEMPERATURE = 1e-30

_Number = TypeVar("_Number", int, float)


class Sampler:
    """Draws the tokens of one answer and remembers them for the penalties.

    Each step with a temperature takes one uniform number from PCG64 and inverts the distribution of
    the kept candidates in descending order, ids deciding among equals: equal mixtures, options and
    seed give equal tokens. Temperature 0 is greedy: the best token, the lowest id among equals.

    Args:
        options: Valid ones, see ``options.validate``. What is not set gets llama.cpp's
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
        temperature = given(options.temperature, DEFAULT_TEMPERATURE)
        self._greedy = temperature == 0
        self._temperature = max(temperature, _LEAST_TEMPERATURE)
        self._top_k = given(options.top_k, DEFAULT_TOP_K)
        self._top_p = given(options.top_p, DEFAULT_TOP_P)
        self._min_p = given(options.min_p, DEFAULT_MIN_P)
        unlimited = self._top_k == 0 or self._top_k >= vocabulary_size
        self._truncates = not unlimited or self._top_p < 1 or self._min_p > 0
        self._penalties = Penalties(options, prompt)
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def sample(self, mixture: Logits) -> int:
        """Chooses the next token and adds it to the history.

        Args:
            mixture: Normalised log-probs, float32 of shape (vocabulary,), not modified. The
                log-prob to report is ``mixture[token]``: before bias, temperature and truncation.

        Raises:
            InvalidRequest: Bias and penalties leave no token.
            Internal: The mixture has no token of any probability, or is not a number.
        """
        logits = self._penalties.apply(mixture)
        best = int(logits.argmax())
        if not logits[best] > -np.inf:
            raise _nothing_left(mixture)
        token = best if self._greedy else self._draw(logits)
        self._penalties.accept(token)
        return token

    def accept(self, token: int) -> None:
        """Takes a token that another sampler drew with the same options, as if it were from here.

        Whoever goes on afterwards draws what the other one would have drawn.
        """
        if not self._greedy:
            self._generator.random()
        self._penalties.accept(token)

    def _draw(self, logits: Logits) -> int:
        share = self._generator.random()
        if not self._truncates:
            return int(descend(logits, self._temperature, share)[-1])
        kept = truncate(logits, self._top_k, self._top_p, self._min_p)
        return draw(logits, kept, self._temperature, share)


def given(value: _Number | None, default: _Number) -> _Number:
    """What a caller set, or else the default."""
    return default if value is None else value


def nothing_left() -> InvalidRequest:
    """What is said where bias and penalties leave nothing of a row."""
    return InvalidRequest(
        "sampling.logit_bias", "bias and penalties rule out every token; lower them"
    )


def _nothing_left(mixture: Logits) -> InvalidRequest | Internal:
    if mixture.max() > -np.inf:
        return nothing_left()
    return Internal("the mixture of the members' distributions holds no probable token")
