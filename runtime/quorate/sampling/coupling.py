"""Maximal coupling: a draw from one distribution that is, as often as can be, a draw from another.

A proposal x ~ q is kept with probability min(1, r(x) / q(x)); else the draw is from (r - q)+,
normalised. What comes of it has the distribution r, and equals the proposal with probability
sum(min(q, r)) = 1 - TV(q, r), which no other way to draw both exceeds. (Speculative sampling:
Leviathan et al. 2023, Chen et al. 2023.) Pure.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.sampling.candidates import all_weights, descend, truncate, weights
from quorate.sampling.peaks import Ids, Logits

_NOTHING = 1e-30
_BLOCK = 512


class Truncation(NamedTuple):
    """What becomes of a distribution before a token is drawn; see ``candidates.truncate``.

    Attributes:
        temperature: Divides the logits; at least 1e-30.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float

    def cuts(self, size: int) -> bool:
        """Whether it can leave anything out of so many candidates."""
        return 0 < self.top_k < size or self.top_p < 1 or self.min_p > 0


class Numbers(NamedTuple):
    """The uniform numbers in [0, 1) of one position of an answer.

    Attributes:
        proposing: Draws the proposal, or where there is none the token.
        accepting: Says whether the proposal is kept.
        correcting: Draws what takes its place.
    """

    proposing: float
    accepting: float
    correcting: float


class Proposal(NamedTuple):
    """A token that a member proposes, and with what probability."""

    token: int
    probability: float


class Drawn(NamedTuple):
    """What a coupled draw gave.

    Attributes:
        proposal: What was proposed for it.
    """

    token: int
    proposal: Proposal

    @property
    def accepted(self) -> bool:
        """Whether it is the proposal."""
        return self.token == self.proposal.token


class Distribution:
    """What tokens are drawn from: logits, truncated and with a temperature.

    Args:
        logits: Float32 of shape (vocabulary,), not modified, at least one entry above -inf. Where
            nothing is truncated they are looked at later too, and must stay.
        ids: Where they are those of some tokens only, which ones, ascending. They hold all that
            truncation leaves, and something is truncated.
    """

    def __init__(self, logits: Logits, how: Truncation, ids: Ids | None = None) -> None:
        self._temperature = how.temperature
        self._kept: Ids | None = None
        if ids is not None or how.cuts(len(logits)):
            kept = truncate(logits, how.top_k, how.top_p, how.min_p)
            self._kept = kept if ids is None else ids[kept]
            self._weights = weights(logits[kept], how.temperature)
            self._masses = self._weights.cumsum()
        else:
            self._logits = logits

    def draw(self, share: float) -> int:
        """Inverts it at a uniform number in [0, 1), in descending order."""
        if self._kept is None:
            return int(descend(self._logits, self._temperature, share)[-1])
        return int(self._kept[self._masses.searchsorted(min(share * self._total, self._total))])

    def probability(self, token: int) -> float:
        """Of one token."""
        if self._kept is not None:
            return float(self._weights[self._kept == token].sum()) / self._total
        with np.errstate(over="ignore"):
            log = (np.float64(self._logits[token]) - self._best) / self._temperature
        return float(np.exp(log)) / self._total

    def beyond(self, other: Distribution, share: float) -> int | None:
        """Draws from what it has more than another, truncated alike; None where that is nothing."""
        if self._kept is None or other._kept is None:
            more: npt.NDArray[Any] = self._all_weights() / np.float32(self._total)
            more -= other._all_weights() / np.float32(other._total)
        else:
            more = self._weights / self._total
            _, here, there = np.intersect1d(
                self._kept, other._kept, assume_unique=True, return_indices=True
            )
            more[here] -= other._weights[there] / other._total
        more[more < _NOTHING] = 0
        place = _invert(more, share)
        if place is None or self._kept is None:
            return place
        return int(self._kept[place])

    @cached_property
    def _best(self) -> float:
        """The largest logit; where nothing is truncated."""
        return float(self._logits.max())

    @cached_property
    def _total(self) -> float:
        """The sum of all weights."""
        if self._kept is not None:
            return float(self._masses[-1])
        return float(self._all_weights().sum(dtype=np.float64))

    def _all_weights(self) -> Logits:
        """See ``all_weights``; where nothing is truncated."""
        return all_weights(self._logits, np.float32(self._best), self._temperature)


def couple(target: Distribution, proposal: Distribution, numbers: Numbers) -> Drawn:
    """Draws from ``target`` and, as often as can be, what ``proposal`` draws."""
    token = proposal.draw(numbers.proposing)
    proposed = Proposal(token, proposal.probability(token))
    probability = target.probability(token)
    # A token that the target has not is refused whatever the number, 0 included.
    if probability > 0 and numbers.accepting * proposed.probability <= probability:
        return Drawn(token, proposed)
    instead = target.beyond(proposal, numbers.correcting)
    if instead is None:
        # They differ by rounding alone.
        instead = target.draw(numbers.correcting)
    return Drawn(instead, proposed)


def _invert(weights: npt.NDArray[Any], share: float) -> int | None:
    """The place where weights, in their order, reach a share of their sum; None where that is 0.

    Running sums of a whole vocabulary take long: sums of blocks say in which one it is.
    """
    starts = np.arange(0, len(weights), _BLOCK)
    sums = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
    target = share * float(sums[-1])
    if not sums[-1] > 0:
        return None
    block = min(int(np.searchsorted(sums, target, side="right")), len(starts) - 1)
    first = int(starts[block])
    within = np.cumsum(weights[first : first + _BLOCK], dtype=np.float64)
    if block:
        within += sums[block - 1]
    # To the right of equals: what weighs nothing is never drawn.
    place = first + int(np.searchsorted(within, target, side="right"))
    return min(place, int(np.flatnonzero(weights)[-1]))
