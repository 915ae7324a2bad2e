"""Logit bias and the penalties against repetition.

They act on the mixture's log-probs. Those differ from a model's logits by a constant, which the
additive ones do not notice. The repetition penalty divides a positive logit and multiplies another
one, and log-probs are never positive (unless a bias made them so): a penalty r turns a probability
p into p^r before normalisation, the same for every model, wherever its logits happen to lie.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quorate.request import SamplingOptions
from quorate.sampling.candidates import Logits

REPETITION_WINDOW = 64
"""Tokens of prompt and answer, the last ones, that the repetition penalty looks at (llama.cpp)."""

# Keeps the best candidate finite where absurd negative penalties would push it to +inf.
_CEILING = 1e30


class Penalties:
    """Bias and penalties of one answer, with the history they need.

    The repetition penalty looks at the last ``REPETITION_WINDOW`` tokens of prompt and answer, as
    llama.cpp does; presence and frequency penalty look at the tokens generated so far, as OpenAI's
    API does.

    Args:
        options: What the caller asked for; what is not set is off.
    """

    def __init__(self, options: SamplingOptions, prompt: Sequence[int]) -> None:
        self._bias_ids = np.fromiter(options.logit_bias.keys(), np.intp)
        self._bias = np.fromiter(options.logit_bias.values(), np.float64)
        repetition = options.repetition_penalty
        self._repetition = 1.0 if repetition is None else repetition
        self._presence = options.presence_penalty or 0.0
        self._frequency = options.frequency_penalty or 0.0
        self._recent = deque(prompt[-REPETITION_WINDOW:], maxlen=REPETITION_WINDOW)
        self._counts: Counter[int] = Counter()
        self._counting = self._presence != 0 or self._frequency != 0

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for, so that ``apply`` would return what it was given."""
        return not (self._bias_ids.size or self._repetition != 1 or self._counting)

    def accept(self, token: int) -> None:
        """Adds a chosen token to the history."""
        self._recent.append(token)
        self._counts[token] += 1

    def apply(self, logprobs: Logits) -> Logits:
        """Returns the adjusted log-probs, no longer normalised; ``logprobs`` stays as it is.

        The order is llama.cpp's: bias, repetition, then frequency and presence together.
        """
        if self.idle:
            return logprobs
        adjusted = logprobs.copy()
        with np.errstate(over="ignore"):
            if self._bias_ids.size:
                _put(adjusted, self._bias_ids, adjusted[self._bias_ids] + self._bias)
            if self._repetition != 1 and self._recent:
                self._penalise_repetition(adjusted)
            if self._counting and self._counts:
                self._penalise_generated(adjusted)
        return adjusted

    def _penalise_repetition(self, adjusted: Logits) -> None:
        ids = np.fromiter(set(self._recent), np.intp)
        values = adjusted[ids].astype(np.float64)
        penalty = np.float64(self._repetition)
        _put(adjusted, ids, np.where(values > 0, values / penalty, values * penalty))

    def _penalise_generated(self, adjusted: Logits) -> None:
        ids = np.fromiter(self._counts.keys(), np.intp)
        counts = np.fromiter(self._counts.values(), np.float64)
        _put(adjusted, ids, adjusted[ids] - (counts * self._frequency + self._presence))


def _put(adjusted: Logits, ids: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> None:
    adjusted[ids] = np.minimum(values, _CEILING)
