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
from typing import NamedTuple

import numpy as np

from quorate.engines.contract import LogProbs
from quorate.ensemble.candidates import Ids, lower_bound

NO_IDS: Ids = np.empty(0, np.intp)

_FEW_SYMBOLS = 512
"""So many are sorted sooner than it is found out which of them matter."""

# Tokens whose log-probs are equal in float32 are ordered by id. So those count as reaching a bound
# that miss it by no more than rounding, relative to the bound.
_ROUNDING = 1e-6


class Shortlist(NamedTuple):
    """Some symbols of a mixture.

    Attributes:
        ids: Their indices, ascending; None for all symbols there are.
        logprobs: Their log-probs under the mixture, float32, as many.
    """

    ids: Ids | None
    logprobs: LogProbs

    def id_of(self, position: int) -> int:
        """The symbol at a position of the list."""
        return position if self.ids is None else int(self.ids[position])

    def positions(self, ids: Ids) -> Ids:
        """Where some of its symbols stand in the list."""
        return ids if self.ids is None else np.searchsorted(self.ids, ids)


class Mixture:
    """A weighted arithmetic mean of distributions; of one alone, that distribution.

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
        terms = [
            row[ids] + np.float64(log_weight)
            for row, log_weight in zip(self._rows, self._log_weights, strict=True)
        ]
        # What is no number stays none, without a word.
        with np.errstate(invalid="ignore"):
            mixed: LogProbs = np.minimum(np.logaddexp.reduce(terms), 0.0).astype(np.float32)
        return mixed

    def logprob(self, index: int) -> float:
        """Log-prob of one symbol, the same as ``at`` gives."""
        return float(self.at(np.array([index], np.intp))[0])

    def best(self) -> Shortlist:
        """Symbols among which the most probable one is."""
        favourites = {int(row.argmax()) for row in self._rows}
        ids = np.array(sorted(favourites), np.intp)
        logprobs = self.at(ids)
        if len(ids) == 1:
            # Nobody finds any other symbol as probable, or none with a lower index.
            return Shortlist(ids, logprobs)
        return self._reaching(float(logprobs.max()))

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """Symbols that hold the ``count`` most probable ones of all but ``always``, and those too.

        Whatever becomes of the log-probs of ``always``, the ``count`` largest are then among them.
        """
        wanted = count + len(always)
        if self._row is not None and len(self._row) <= _FEW_SYMBOLS:
            return Shortlist(None, self._row)
        # So many symbols have at least this share of their probability with one member.
        bounds = [
            lower_bound(row, wanted) + log_weight
            for row, log_weight in zip(self._rows, self._log_weights, strict=True)
        ]
        return self._reaching(float(np.max(bounds)), always)

    def _reaching(self, least: float, always: Ids = NO_IDS) -> Shortlist:
        """All symbols whose log-prob is at least this, some that fall short, and ``always``."""
        if not least > -np.inf:
            # Nothing bounds them, or a row is no numbers, which whoever chooses will see.
            return Shortlist(None, self.row)
        bound = np.float32(least - _ROUNDING * (1.0 + abs(least)))
        reached = self._rows[0] >= bound
        for row in self._rows[1:]:
            reached |= row >= bound
        if len(always):
            reached[always] = True
        ids = reached.nonzero()[0]
        return Shortlist(ids, self.at(ids))
