"""The arithmetic of the combination rules, over rows of float32 log-probs.

Every function takes two or more rows of shape (vocabulary,), which it never modifies, and as many
weights, all greater than 0 and summing to 1, and writes normalised log-probs to ``out``. Rows are
kept in float32, where ``exp`` and ``log`` are vectorised; sums over the vocabulary run in float64.
``scratch`` are two further buffers of the same shape, whose contents are lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quorate.engines.contract import LogProbs

GEOMETRIC_FLOOR = -30.0
"""Lowest log-prob a member can hold against a token in a geometric mixture."""

# exp() of less than this is below float32's normal numbers, where the processor is ten times
# slower and precision is lost.
_SAFE_EXPONENT = -80.0


def linear(
    rows: Sequence[LogProbs],
    weights: Sequence[float],
    out: LogProbs,
    scratch: tuple[LogProbs, LogProbs],
) -> None:
    """Weighted arithmetic mean of the probabilities (linear opinion pool)."""
    lowest = min(float(row.min()) for row in rows)
    if lowest + math.log(min(weights)) > _SAFE_EXPONENT:
        _mean_of_probabilities(rows, weights, out, scratch[0])
    else:
        _mean_in_log_space(rows, weights, out, scratch)
    _cut_rounding(out)


def geometric(
    rows: Sequence[LogProbs],
    weights: Sequence[float],
    out: LogProbs,
    scratch: tuple[LogProbs, LogProbs],
) -> None:
    """Weighted geometric mean of the probabilities, normalised again (logarithmic opinion pool).

    No member can veto a token that another one wants: log-probs below ``GEOMETRIC_FLOOR`` count as
    that floor, or as the most favourable member's log-prob where that is lower still. So a token
    that every member rules out stays ruled out, and equal rows give that row again.
    """
    term, floor = scratch
    lowest = min(float(row.min()) for row in rows)
    floored = lowest < GEOMETRIC_FLOOR
    if floored:
        np.maximum(rows[0], rows[1], out=floor)
        for row in rows[2:]:
            np.maximum(floor, row, out=floor)
        np.minimum(floor, np.float32(GEOMETRIC_FLOOR), out=floor)
    for index, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        source = np.maximum(row, floor, out=term) if floored else row
        product = np.multiply(source, np.float32(weight), out=term if index else out)
        if index:
            np.add(out, product, out=out)
    # No shift by the maximum: some token of the first row has at least the share 1/V, and the
    # floor holds the other rows above -30 there, so the sum is far from underflow.
    safe = np.maximum(out, np.float32(_SAFE_EXPONENT), out=term) if floored else out
    np.exp(safe, out=term)
    np.subtract(out, np.float32(math.log(float(term.sum(dtype=np.float64)))), out=out)
    _cut_rounding(out)


def majority(rows: Sequence[LogProbs], weights: Sequence[float], out: LogProbs) -> tuple[int, ...]:
    """Each member votes with its weight for its most probable token, the lowest id among equals.

    The result holds the log of each token's share of the votes and -inf elsewhere. A tie goes to
    the token with the heaviest single voter, then to the earlier member's. The winner stands at
    least one float32 step above the others, so that whoever takes the maximum of the row gets it.

    Returns:
        The tokens tied for the most votes, the winner first; empty without a tie.
    """
    shares: dict[int, float] = {}
    heaviest: dict[int, float] = {}
    for row, weight in zip(rows, weights, strict=True):
        token = int(row.argmax())
        shares[token] = shares.get(token, 0.0) + weight
        heaviest[token] = max(heaviest.get(token, 0.0), weight)
    most = max(shares.values())
    leaders = [token for token in shares if math.isclose(shares[token], most, rel_tol=1e-9)]
    winner = max(leaders, key=heaviest.__getitem__)
    out.fill(-np.inf)
    for token, share in shares.items():
        out[token] = min(0.0, math.log(share))
    rival = max((out[token] for token in shares if token != winner), default=-np.inf)
    if rival >= out[winner]:
        out[winner] = np.nextafter(rival, np.float32(0))
    if len(leaders) == 1:
        return ()
    return (winner, *(token for token in leaders if token != winner))


def _cut_rounding(out: LogProbs) -> None:
    """No log-prob is above 0; few rows have one that rounding put there."""
    if out.max() > 0:
        np.minimum(out, 0, out=out)


def _mean_of_probabilities(
    rows: Sequence[LogProbs], weights: Sequence[float], out: LogProbs, term: LogProbs
) -> None:
    """The mixture by way of probabilities: the fast way, while none of them underflows."""
    np.exp(rows[0], out=out)
    np.multiply(out, np.float32(weights[0]), out=out)
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        np.exp(row, out=term)
        np.multiply(term, np.float32(weight), out=term)
        np.add(out, term, out=out)
    np.log(out, out=out)


def _mean_in_log_space(
    rows: Sequence[LogProbs],
    weights: Sequence[float],
    out: LogProbs,
    scratch: tuple[LogProbs, LogProbs],
) -> None:
    """The mixture by log-sum-exp of pairs: holds for log-probs of any size and for -inf."""
    term, higher = scratch
    np.add(rows[0], np.float32(math.log(weights[0])), out=out)
    with np.errstate(invalid="ignore"):
        for row, weight in zip(rows[1:], weights[1:], strict=True):
            np.add(row, np.float32(math.log(weight)), out=term)
            np.maximum(out, term, out=higher)
            np.minimum(out, term, out=term)
            np.subtract(term, higher, out=term)
            # fmax also turns the NaN of (-inf) - (-inf) into a term that adds nothing.
            np.fmax(term, np.float32(_SAFE_EXPONENT), out=term)
            np.exp(term, out=term)
            np.add(term, np.float32(1), out=term)
            np.log(term, out=term)
            np.add(higher, term, out=out)
