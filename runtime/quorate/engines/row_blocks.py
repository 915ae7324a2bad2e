"""The log-probs behind several tokens of one feed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class RowBlock(NamedTuple):
    """Rows of one session, one for each token of a run, in their order.

    Attributes:
        rows: Log-probs, float32 of shape (rows, vocabulary), each as ``LogProbs``.
        masked: The probability that the mask took from each, float32 of shape (rows,).
        sums: Their prefix sums in the byte order of the vocabulary, float64 of shape
            (rows, vocabulary + 1); None where they are not wanted.
        maxima: Those of each row, float32 of shape (rows, maxima), see ``sampling.peaks``;
            None where they are not wanted.
    """

    rows: npt.NDArray[np.float32]
    masked: npt.NDArray[np.float32]
    sums: npt.NDArray[np.float64] | None = None
    maxima: npt.NDArray[np.float32] | None = None

    def part(self, start: int, end: int) -> RowBlock:
        """Some of the rows, as views."""
        sums = None if self.sums is None else self.sums[start:end]
        maxima = None if self.maxima is None else self.maxima[start:end]
        return RowBlock(self.rows[start:end], self.masked[start:end], sums, maxima)
