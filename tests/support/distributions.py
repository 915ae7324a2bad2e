"""Rows of log-probs for tests, and slow float64 references to hold the fast code against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from quorate.engines.contract import LogProbs
from quorate.sampling.peaks import Maxima, count_of_maxima, write_maxima


def normalised(logits: Sequence[float] | npt.NDArray[np.floating]) -> LogProbs:
    """Log-softmax in float64; a read-only float32 row, as an engine hands it out."""
    wide = np.asarray(logits, np.float64)
    shifted = wide - wide.max()
    row = (shifted - np.log(np.exp(shifted).sum())).astype(np.float32)
    row.flags.writeable = False
    return row


def random_row(size: int, seed: int, scale: float = 2.5) -> LogProbs:
    return normalised(np.random.default_rng(seed).normal(size=size) * scale)


def maxima_of(row: LogProbs) -> Maxima:
    """The maxima of a row's groups, as they stand beside it."""
    maxima = np.full(count_of_maxima(len(row)), np.nan, np.float32)
    write_maxima(row, maxima)
    return maxima


_logits = st.one_of(
    st.floats(-8, 8, width=32),
    st.floats(-200, 200, width=32),
    st.sampled_from([0.0, -1.0, float("-inf")]),
)


@st.composite
def rows(draw: st.DrawFn, count: int, least: int = 1, most: int = 12) -> list[LogProbs]:
    """As many rows of one length: ordinary, very peaked, one-hot, with zeros, with ties."""
    size = draw(st.integers(least, most))
    drawn = []
    for _ in range(count):
        logits = draw(st.lists(_logits, min_size=size, max_size=size))
        logits[draw(st.integers(0, size - 1))] = draw(st.floats(-1, 1, width=32))
        drawn.append(normalised(logits))
    return drawn


@st.composite
def shares(draw: st.DrawFn, count: int) -> list[float]:
    """Weights, all greater than 0, summing to 1."""
    weights = draw(st.lists(st.floats(0.001, 1), min_size=count, max_size=count))
    return [weight / sum(weights) for weight in weights]


def linear_reference(
    members: Sequence[LogProbs], weights: Sequence[float]
) -> npt.NDArray[np.float64]:
    wide = [row.astype(np.float64) + np.log(w) for row, w in zip(members, weights, strict=True)]
    return np.logaddexp.reduce(wide)


def geometric_reference(
    members: Sequence[LogProbs], weights: Sequence[float]
) -> npt.NDArray[np.float64]:
    wide = np.array([row.astype(np.float64) for row in members])
    floor = np.minimum(-30.0, wide.max(axis=0))
    mixed = (np.maximum(wide, floor) * np.array(weights)[:, None]).sum(axis=0)
    return mixed - np.logaddexp.reduce(mixed)
