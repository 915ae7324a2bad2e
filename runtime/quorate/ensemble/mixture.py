"""The fused distribution of one step, of which no more is computed than somebody asks for.

A vocabulary has 150,000 tokens, and what is chosen is one of a few: to mix all of them takes longer
than all else that a step needs. In a linear mixture no token is more probable than with the member
that likes it best. So whatever reaches a bound in the mixture reaches it with some member, and only
those few tokens are mixed (see ``sampling.shortlist.listed_in``). Where they stand is found by the
maxima of groups of each row, which whoever computed it has written beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.sampling.peaks import SOON_SORTED, Ids, Maxima, Peaks, best_of
from quorate.sampling.shortlist import (
    NO_IDS,
    Shortlist,
    listed_in,
)

_LOG_2 = math.log(2.0)


class Mixture:
    """``Ranked`` of a weighted arithmetic mean of distributions; of one alone, that distribution.

    It holds the rows of one step, and is read before the members are fed again.

    Args:
        rows: Normalised log-probs, float32 of shape (symbols,), not modified.
        weights: As many, all greater than 0, summing to 1.
        whole: Mixes the whole row, where somebody asks for that.
        maxima: Of each row, None where they are not known; see ``Peaks``.
    """

    def __init__(
        self,
        rows: Sequence[LogProbs],
        weights: Sequence[float],
        whole: Callable[[Sequence[LogProbs], Sequence[float]], LogProbs],
        maxima: Sequence[Maxima | None] = (),
    ) -> None:
        self._rows = rows
        self._weights = weights
        self._whole = whole
        self._maxima = maxima or [None] * len(rows)
        self._row = rows[0] if len(rows) == 1 else None
        self._log_weights = [math.log(weight) for weight in weights]

    @classmethod
    def of(cls, row: LogProbs, maxima: Maxima | None = None) -> Mixture:
        """What one row says, all by itself."""
        return cls([row], [1.0], lambda rows, _: rows[0], [maxima])

    @property
    def row(self) -> LogProbs:
        """All of it: normalised log-probs, float32 of shape (symbols,). Not for writing."""
        if self._row is None:
            self._row = self._whole(self._rows, self._weights)
        return self._row

    def at(self, ids: Ids) -> LogProbs:
        """Log-probs of some symbols, float32, by log-sum-exp in float64."""
        if len(self._rows) == 1:
            picked: LogProbs = self._rows[0][ids]
            return picked
        mixed, *others = (
            row[ids] + np.float64(log_weight)
            for row, log_weight in zip(self._rows, self._log_weights, strict=True)
        )
        # What is no number stays none, without a word.
        with np.errstate(invalid="ignore"):
            for term in others:
                np.logaddexp(mixed, term, out=mixed)
        logprobs: LogProbs = np.minimum(mixed, 0.0).astype(np.float32)
        return logprobs

    def logprob(self, index: int) -> float:
        """Log-prob of one symbol, the same that ``at`` gives."""
        if len(self._rows) == 1:
            return float(self._rows[0][index])
        mixed = -math.inf
        for row, log_weight in zip(self._rows, self._log_weights, strict=True):
            mixed = _logaddexp(mixed, float(row[index]) + log_weight)
        return float(np.float32(min(mixed, 0.0)))

    def best(self) -> Shortlist:
        """Symbols among which the most probable one is."""
        favourites = {*map(best_of, self._rows, self._maxima)}
        if len(favourites) > 1:
            return self._listed(listed_in(self._peaks(), self._log_weights, 1))
        # Nobody finds another symbol as probable, or none with a lower index.
        ids = np.array([*favourites], np.intp)
        return Shortlist(ids, np.array([*map(self.logprob, favourites)], np.float32))

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """Symbols that hold the ``count`` most probable ones of all but ``always``, and those too.

        Whatever becomes of the log-probs of ``always``, the ``count`` largest are then among them.
        """
        if self._row is not None and len(self._row) <= SOON_SORTED:
            return Shortlist(None, self._row)
        return self._listed(listed_in(self._peaks(), self._log_weights, count, always))

    def _peaks(self) -> Peaks:
        return Peaks(self._rows, self._maxima)

    def _listed(self, ids: Ids | None) -> Shortlist:
        return Shortlist(None, self.row) if ids is None else Shortlist(ids, self.at(ids))


def _logaddexp(one: float, other: float) -> float:
    """``np.logaddexp`` of two numbers, to the last bit."""
    if one == other:
        return one + _LOG_2
    if one > other:
        return one + math.log1p(math.exp(other - one))
    if one < other:
        return other + math.log1p(math.exp(one - other))
    return math.nan
