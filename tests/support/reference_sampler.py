"""The sampler written the plain way: a full sort in float64 at every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs
from quorate.request import SamplingOptions

_MARGIN = 3e-5


class TooClose(Exception):
    """A decision lies so near its boundary that float32 and float64 may differ."""


class ReferenceSampler:
    """Same contract as ``Sampler``; raises ``TooClose`` where rounding could decide."""

    def __init__(self, options: SamplingOptions, seed: int, prompt: Sequence[int]) -> None:
        self._options = options
        self._prompt = list(prompt)
        self._answer: list[int] = []
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def sample(self, mixture: LogProbs) -> int:
        logits = self._adjust(mixture)
        order = [i for i in np.lexsort((np.arange(len(logits)), -logits)) if logits[i] > -np.inf]
        temperature = _or(self._options.temperature, 0.8)
        if temperature > 0:
            order = self._truncate(logits, order)
            share = self._generator.random()
            cumulated = np.cumsum(_softmax(logits[order] / temperature))
            _keep_clear(cumulated[:-1], share)
            order = order[min(int((cumulated < share).sum()), len(order) - 1) :]
        self._answer.append(int(order[0]))
        return int(order[0])

    def _adjust(self, mixture: LogProbs) -> npt.NDArray[np.float64]:
        # Each stage is rounded to float32 as the product does, since rounding can make ties.
        logits = mixture.astype(np.float64)
        for token, bias in self._options.logit_bias.items():
            logits[token] += bias
        logits = _rounded(logits)
        penalty = _or(self._options.repetition_penalty, 1.0)
        for token in set((self._prompt + self._answer)[-64:]):
            logits[token] *= penalty if logits[token] <= 0 else 1 / penalty
        logits = _rounded(logits)
        for token in set(self._answer):
            count = self._answer.count(token)
            logits[token] -= count * (self._options.frequency_penalty or 0.0) + (
                self._options.presence_penalty or 0.0
            )
        return _rounded(logits)

    def _truncate(self, logits: npt.NDArray[np.float64], order: list[int]) -> list[int]:
        top_k = _or(self._options.top_k, 40)
        if top_k > 0:
            order = order[: int(top_k)]
        top_p = _or(self._options.top_p, 0.95)
        if top_p < 1:
            cumulated = np.cumsum(_softmax(logits[order]))
            _keep_clear(cumulated, top_p)
            order = order[: int((cumulated < top_p).sum()) + 1]
        min_p = _or(self._options.min_p, 0.05)
        if min_p > 0:
            below_best = logits[order] - logits[order[0]]
            _keep_clear(below_best[below_best < 0], np.log(min_p))
            order = [i for i, gap in zip(order, below_best, strict=True) if gap >= np.log(min_p)]
        return order


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _rounded(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return logits.astype(np.float32).astype(np.float64)


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _keep_clear(values: npt.NDArray[np.float64], boundary: float) -> None:
    if np.any(np.abs(values - boundary) < _MARGIN):
        raise TooClose
