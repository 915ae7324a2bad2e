"""Logit bias and the penalties against repetition.

They act on the mixture's log-probs. Those differ from a model's logits by a constant, which the
additive ones do not notice. The repetition penalty divides a positive logit and multiplies another
one, and log-probs are never positive (unless a bias made them so): a penalty r turns a probability
p into p^r before normalisation, the same for every model, wherever its logits happen to lie.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt

from quorate.request import SamplingOptions
from quorate.sampling.peaks import Ids, Logits
from quorate.sampling.shortlist import NO_IDS, Shortlist

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

    def after(self, tokens: Sequence[int]) -> Penalties:
        """The penalties as they will be once these tokens were chosen; this one stays as it is."""
        if self.idle or not tokens:
            return self
        later = copy(self)
        later._recent, later._counts = self._recent.copy(), self._counts.copy()
        for token in tokens:
            later.accept(token)
        return later

    @property
    def touched(self) -> Ids:
        """Tokens whose log-probs ``apply`` may change, ascending."""
        if self.idle:
            return NO_IDS
        touched = set(self._bias_ids.tolist())
        if self._repetition != 1:
            touched.update(self._recent)
        if self._counting:
            touched.update(self._counts)
        return np.array(sorted(touched), np.intp)

    def apply(self, logprobs: Logits, ids: Ids | None = None) -> Logits:
        """Returns the adjusted log-probs, no longer normalised; ``logprobs`` stays as it is.

        The order is llama.cpp's: bias, repetition, then frequency and presence together.

        Args:
            logprobs: Of some tokens, float32.
            ids: Which ones, ascending, all of ``touched`` among them; None for the vocabulary.
        """
        if self.idle:
            return logprobs
        listed, adjusted = Shortlist(ids, logprobs), logprobs.copy()
        with np.errstate(over="ignore"):
            if self._bias_ids.size:
                positions = listed.positions(self._bias_ids)
                _put(adjusted, positions, adjusted[positions] + self._bias)
            if self._repetition != 1 and self._recent:
                recent = np.fromiter(set(self._recent), np.intp)
                self._penalise_repetition(adjusted, listed.positions(recent))
            if self._counting and self._counts:
                counted = np.fromiter(self._counts.keys(), np.intp)
                self._penalise_generated(adjusted, listed.positions(counted))
        return adjusted

    def _penalise_repetition(self, adjusted: Logits, recent: Ids) -> None:
        values = adjusted[recent].astype(np.float64)
        penalty = np.float64(self._repetition)
        _put(adjusted, recent, np.where(values > 0, values / penalty, values * penalty))

    def _penalise_generated(self, adjusted: Logits, counted: Ids) -> None:
        counts = np.fromiter(self._counts.values(), np.float64)
        _put(adjusted, counted, adjusted[counted] - (counts * self._frequency + self._presence))


def _put(adjusted: Logits, positions: Ids, values: npt.NDArray[np.float64]) -> None:
    adjusted[positions] = np.minimum(values, _CEILING)
