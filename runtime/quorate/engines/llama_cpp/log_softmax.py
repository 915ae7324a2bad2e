"""Log-softmax of one row of logits, into memory the caller owns."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs

_LANE_TERMS = 16


class NonFiniteLogits(ArithmeticError):
    """The model produced NaN or +inf, or nothing but -inf."""


class LogSoftmax:
    """Normalises rows of one length with one scratch row.

    Args:
        size: Length of every row.
        excluded: Ids that have no part in the distribution, whatever their logits.
    """

    def __init__(self, size: int, excluded: Collection[int] = ()) -> None:
        self._excluded = np.array(sorted(excluded), np.intp)
        lanes = -(-size // _LANE_TERMS)
        padded = np.zeros(lanes * _LANE_TERMS, np.float32)
        self._exponentials = padded[:size]
        self._by_lane = padded.reshape(_LANE_TERMS, lanes)
        self._lane_sums = np.empty(lanes, np.float32)

    def __call__(self, logits: npt.NDArray[np.float32], output: LogProbs) -> float:
        """Writes ``logits - log(sum(exp(logits)))`` to ``output``.

        Each float32 lane adds 16 terms and the lanes are added in float64: as exact as the terms
        are, at a third of the time of converting every term.

        Args:
            logits: float32 of shape (size,); those of excluded ids are overwritten.
            output: float32 of shape (size,).

        Returns:
            The probability that the excluded ids had before, in [0, 1].

        Raises:
            NonFiniteLogits: There is no distribution in these logits.
        """
        excluded = logits[self._excluded].astype(np.float64)
        logits[self._excluded] = -np.inf
        highest = logits.max()
        # The maximum of a row that holds a NaN is NaN.
        if not math.isfinite(highest):
            raise NonFiniteLogits(f"the highest logit is {highest}")
        np.subtract(logits, highest, out=output)
        np.exp(output, out=self._exponentials)
        np.add.reduce(self._by_lane, axis=0, out=self._lane_sums)
        total = self._lane_sums.sum(dtype=np.float64)
        np.subtract(output, np.float32(math.log(total)), out=output)
        if not len(excluded):
            return 0.0
        with np.errstate(over="ignore"):
            cut = float(np.exp(excluded - np.float64(highest)).sum())
        return 1.0 - float(total) / (float(total) + cut)
