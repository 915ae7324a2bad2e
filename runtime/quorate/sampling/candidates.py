"""Truncation and the draw, over a whole vocabulary without sorting it.

"Descending order" is everywhere by log-prob, and by id among equals. Entries of -inf are never
candidates. Logits need not be normalised: an added constant changes nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from quorate.sampling.peaks import SOON_SORTED, Ids, Logits, Peaks

_FIRST_GUESS = 256
# Beyond this a candidate adds nothing to a sum in float64, and exp() would leave float32's normal
# numbers, where it is ten times slower.
_NEGLIGIBLE = -80.0


def largest(logits: Logits, count: int) -> Ids:
    """Ids of the ``count`` largest entries, in descending order; fewer where others are -inf."""
    if count <= 0:
        return np.empty(0, np.intp)
    if len(logits) > SOON_SORTED:
        peaks = Peaks([logits])
        return _descending(logits, peaks.reaching(peaks.bound(count)))[:count]
    ids = (-logits).argsort(kind="stable")[:count]
    return ids if logits[ids[-1]] > -np.inf else ids[logits[ids] > -np.inf]


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
    if 0 < top_k < len(logits) or len(logits) <= SOON_SORTED:
        kept = largest(logits, top_k or len(logits))
        if top_p < 1:
            mass = _masses(logits[kept], 1.0)
            kept = kept[: _reach(mass, top_p * float(mass[-1]))]
    elif top_p < 1:
        kept = descend(logits, 1.0, top_p)
    else:
        least = logits.max() + np.float32(math.log(min_p)) if min_p > 0 else np.float32(-np.inf)
        return _descending(logits, Peaks([logits]).reaching(least))
    if min_p <= 0:
        return kept
    values = logits[kept]
    return kept[: np.count_nonzero(values >= values[0] + np.float32(math.log(min_p)))]


def descend(logits: Logits, temperature: float, share: float) -> Ids:
    """The fewest candidates, in descending order, that hold ``share`` of all probability.

    Args:
        logits: Shape (vocabulary,), at least one entry above -inf.
        temperature: Divides the logits; at least 1e-30.
        share: In [0, 1]. Drawn uniformly, it makes the last id returned a sample from the whole
            distribution, by inversion.
    """
    total = float(all_weights(logits, logits.max(), temperature).sum(dtype=np.float64))
    kept = largest(logits, _FIRST_GUESS)
    mass = _masses(logits[kept], temperature)
    if mass[-1] < share * total and len(kept) == _FIRST_GUESS:
        kept = largest(logits, len(logits))
        mass = _masses(logits[kept], temperature)
    return kept[: _reach(mass, share * total)]


def all_weights(logits: Logits, best: np.float32, temperature: float) -> Logits:
    """Weights of a whole row in float32, that of its largest entry, ``best``, being 1."""
    with np.errstate(over="ignore"):
        scaled = logits - best
        scaled /= np.float32(temperature)
    np.maximum(scaled, np.float32(_NEGLIGIBLE), out=scaled)
    np.exp(scaled, out=scaled)
    return scaled


def weights(descending: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Weights of candidates in descending order, the first one's being 1."""
    logits = descending.astype(np.float64)
    logits -= logits[0]
    if temperature != 1.0:
        logits /= temperature
    return np.exp(logits, out=logits)


def _masses(descending: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Running sums of ``weights``."""
    return weights(descending, temperature).cumsum()


def _reach(masses: npt.NDArray[np.float64], target: float) -> int:
    """How many candidates it takes to reach ``target``, or all there is to be had of it."""
    return int(masses.searchsorted(min(target, float(masses[-1])))) + 1


def _descending(logits: Logits, ids: Ids) -> Ids:
    """Ids of entries, which are ascending and finite, in descending order."""
    if len(ids) <= SOON_SORTED:
        return ids[(-logits[ids]).argsort(kind="stable")]
    # Whole numbers of both, the value's bits and the id, are sorted in a tenth of the time. The
    # bits of floats are in their order, those of negative ones backwards; -0.0 becomes 0.0.
    bits = (logits[ids] + np.float32(0)).view(np.int32)
    descending = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    keys = (descending.astype(np.int64) << 32) | ids
    keys.sort()
    return keys & 0xFFFFFFFF
