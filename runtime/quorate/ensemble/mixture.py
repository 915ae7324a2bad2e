"""The fused distribution of one step, of which no more is computed than somebody asks for.

A vocabulary has 150,000 tokens, and what is chosen is one of a few: to mix all of them takes longer
than all else that a step needs. In a linear mixture no token is more probable than with the member
that likes it best. So whatever reaches a bound in the mixture reaches it with some member, which is
one comparison a row, and only those few tokens are mixed (Fagin, Lotem, Naor 2003, in its simplest
form: every row is read whole, but compared only).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.sampling.candidates import Ids, Peaks
from quorate.sampling.shortlist import FEW_SYMBOLS, NO_IDS, Shortlist

_FEW_REACHING = 16
"""So many are looked for one by one."""
_LOG_2 = math.log(2.0)

# Tokens whose log-probs are equal in float32 are ordered by id. So those count as reaching a bound
# that miss it by no more than rounding, relative to the bound.
_ROUNDING = 1e-6


class Mixture:
    """``Ranked`` of a weighted arithmetic mean of distributions; of one alone, that distribution.

    It holds the rows of one step, and is read before the members are fed again.

    Args:
        rows: Normalised log-probs, float32 of shape (symbols,), not modified.
        weights: As many, all greater than 0, summing to 1.
        whole: Mixes the whole row, where somebody asks for that.
    """

    def __init__(
        self,
        rows: Sequence[LogProbs],
        weights: Sequence[float],
        whole: Callable[[Sequence[LogProbs], Sequence[float]], LogProbs],
    ) -> None:
        self._rows = rows
        self._weights = weights
        self._whole = whole
        self._row = rows[0] if len(rows) == 1 else None
        self._log_weights = [math.log(weight) for weight in weights]

    @classmethod
    def of(cls, row: LogProbs) -> Mixture:
        """What one row says, all by itself."""
        return cls([row], [1.0], lambda rows, _: rows[0])

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
        mixed, *others = (
            float(row[index]) + log_weight
            for row, log_weight in zip(self._rows, self._log_weights, strict=True)
        )
        for term in others:
            mixed = _logaddexp(mixed, term)
        return float(np.float32(min(mixed, 0.0)))

    def best(self) -> Shortlist:
        """Symbols among which the most probable one is."""
        favourites = {int(row.argmax()) for row in self._rows}
        logprobs = [self.logprob(index) for index in favourites]
        # Of one favourite of all: nobody finds another symbol as probable, or none with a lower
        # index. Of no number: whoever chooses will see.
        if len(favourites) > 1 and not any(map(math.isnan, logprobs)):
            bound = _below(max(logprobs))
            favourites.update(*(_reaching(row, bound) for row in self._rows))
        ids = np.array(sorted(favourites), np.intp)
        return Shortlist(ids, self.at(ids))

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """Symbols that hold the ``count`` most probable ones of all but ``always``, and those too.

        Whatever becomes of the log-probs of ``always``, the ``count`` largest are then among them.
        """
        wanted = count + len(always)
        if self._row is not None and len(self._row) <= FEW_SYMBOLS:
            return Shortlist(None, self._row)
        peaks = [Peaks(row) for row in self._rows]
        # So many symbols have at least this share of their probability with one member.
        bounds = [
            one.bound(wanted) + log_weight
            for one, log_weight in zip(peaks, self._log_weights, strict=True)
        ]
        least = float(np.max(bounds))
        if not least > -np.inf:
            # Nothing bounds them, or a row is no numbers, which whoever chooses will see.
            return Shortlist(None, self.row)
        bound = _below(least)
        ids = [one.reaching(bound) for one in peaks]
        if len(always) or len(ids) > 1:
            listed = np.unique(np.concatenate((*ids, always)))
        else:
            (listed,) = ids
        return Shortlist(listed, self.at(listed))


def _reaching(row: LogProbs, bound: np.float32) -> list[int]:
    """Symbols whose log-prob with one member reaches a bound that few do."""
    reached = row >= bound
    found: list[int] = []
    start = 0
    while len(found) < _FEW_REACHING:
        # Where there is no more, the first of what does not.
        index = start + int(reached[start:].argmax())
        if not reached[index]:
            return found
        found.append(index)
        start = index + 1
        if start == len(reached):
            return found
    return reached.nonzero()[0].tolist()


def _below(bound: float) -> np.float32:
    """A bound that what is equal to another in float32 reaches together with it."""
    return np.float32(bound - _ROUNDING * (1.0 + abs(bound)))


def _logaddexp(one: float, other: float) -> float:
    """``np.logaddexp`` of two numbers, to the last bit."""
    if one == other:
        return one + _LOG_2
    if one > other:
        return one + math.log1p(math.exp(other - one))
    if one < other:
        return other + math.log1p(math.exp(one - other))
    return math.nan
