"""Truncation and the draw, over a whole vocabulary without sorting it.

"Descending order" is everywhere by log-prob, and by id among equals. Entries of -inf are never
candidates. Logits need not be normalised: an added constant changes nothing.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Logits: TypeAlias = npt.NDArray[np.float32]
"""One row, float32 of shape (vocabulary,)."""

Ids: TypeAlias = npt.NDArray[np.intp]
"""Token ids, shape (candidates,)."""

_BLOCKS = 64
_LEAST_FINITE = np.finfo(np.float32).min
_FIRST_GUESS = 256
_GROWTH = 8
# Beyond this a candidate adds nothing to a sum in float64, and exp() would leave float32's normal
# numbers, where it is ten times slower.
_NEGLIGIBLE = -80.0


def largest(logits: Logits, count: int) -> Ids:
    """Ids of the ``count`` largest entries, in descending order; fewer where others are -inf."""
    if count <= 0:
        return np.empty(0, np.intp)
    return _descending(logits, _lower_bound(logits, count))[:count]


def truncate(logits: Logits, top_k: int, top_p: float, min_p: float) -> Ids:
    """Keeps the candidates that top-k, then top-p, then min-p leave, as llama.cpp does.

    Each step sees the probabilities of what the step before kept, renormalised, before any
    temperature.

    Args:
        logits: Shape (vocabulary,), at least one entry above -inf.
        top_k: Candidates kept; 0 keeps all.
        top_p: The nucleus: the fewest candidates whose probabilities sum to at least this.
        min_p: Share of the best candidate's probability that the others must reach.

    Returns:
        Their ids in descending order, at least one.
    """
    best = logits.max()
    least = best + np.float32(math.log(min_p)) if min_p > 0 else np.float32(-np.inf)
    if 0 < top_k < len(logits):
        kept = largest(logits, top_k)
        if top_p < 1:
            mass = _masses(logits[kept], 1.0)
            kept = kept[: _reach(mass, top_p * float(mass[-1]))]
    elif top_p < 1:
        kept = descend(logits, 1.0, top_p)
    else:
        kept = _descending(logits, least)
    return kept[logits[kept] >= least]


def descend(logits: Logits, temperature: float, share: float) -> Ids:
    """The fewest candidates, in descending order, that hold ``share`` of all probability.

    Args:
        logits: Shape (vocabulary,), at least one entry above -inf.
        temperature: Divides the logits; at least 1e-30.
        share: In [0, 1]. Drawn uniformly, it makes the last id returned a sample from the whole
            distribution, by inversion.
    """
    with np.errstate(over="ignore"):
        scaled = (logits - logits.max()) / np.float32(temperature)
    np.maximum(scaled, np.float32(_NEGLIGIBLE), out=scaled)
    total = float(np.exp(scaled, out=scaled).sum(dtype=np.float64))
    count = _FIRST_GUESS
    while True:
        kept = largest(logits, count)
        mass = _masses(logits[kept], temperature)
        if mass[-1] >= share * total or len(kept) < count:
            return kept[: _reach(mass, share * total)]
        count *= _GROWTH


def draw(logits: Logits, kept: Ids, temperature: float, share: float) -> int:
    """Draws from the kept candidates by inversion.

    Args:
        logits: Shape (vocabulary,).
        kept: Candidates in descending order, at least one.
        temperature: Divides the logits; at least 1e-30.
        share: A uniform number in [0, 1).
    """
    mass = _masses(logits[kept], temperature)
    return int(kept[_reach(mass, share * float(mass[-1])) - 1])


def _masses(descending: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Running sums of the candidates' weights, the first candidate's weight being 1."""
    logits = descending.astype(np.float64)
    return np.cumsum(np.exp((logits - logits[0]) / temperature))


def _reach(masses: npt.NDArray[np.float64], target: float) -> int:
    """How many candidates it takes to reach ``target``, or all there is to be had of it."""
    return int(np.searchsorted(masses, min(target, float(masses[-1])))) + 1


def _lower_bound(logits: Logits, count: int) -> np.float32:
    """A value that at least ``count`` entries reach, and few more.

    Every one of several disjoint groups whose maximum reaches a bound holds an entry that does. The
    groups are strided, so that their maxima are one vectorised pass over the row.
    """
    size = len(logits)
    if count >= size:
        return np.float32(-np.inf)
    groups = size // _BLOCKS
    if 2 * count > groups:
        return np.float32(np.partition(logits, size - count)[size - count])
    maxima = logits[: groups * _BLOCKS].reshape(_BLOCKS, groups).max(axis=0)
    return np.float32(np.partition(maxima, groups - count)[groups - count])


def _descending(logits: Logits, least: np.float32) -> Ids:
    """Ids of the entries not below ``least``, in descending order."""
    ids = np.flatnonzero(logits >= max(least, _LEAST_FINITE))
    return ids[np.argsort(-logits[ids], kind="stable")]
