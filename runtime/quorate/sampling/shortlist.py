"""The symbols of a distribution that a choice is between: few of all there are.

A vocabulary has 150,000 tokens, and what is chosen is one of some tens. So whoever chooses says how
many are enough, and whoever holds the distribution finds them in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from quorate.sampling.peaks import SOON_SORTED, Ids, Logits, Maxima, Peaks, best_of

NO_IDS: Ids = np.empty(0, np.intp)


class Shortlist(NamedTuple):
    """Some symbols of a distribution.

    Attributes:
        ids: Their indices, ascending; None for all symbols there are.
        logprobs: Their log-probs, float32, as many.
    """

    ids: Ids | None
    logprobs: Logits

    def id_of(self, position: int) -> int:
        """The symbol at a position of the list."""
        return position if self.ids is None else int(self.ids[position])

    def best(self) -> int | None:
        """The most probable one, the first among equals; None where none is possible."""
        position = int(self.logprobs.argmax())
        return self.id_of(position) if self.logprobs[position] > -np.inf else None

    def positions(self, ids: Ids) -> Ids:
        """Where some of its symbols stand in the list."""
        return ids if self.ids is None else np.searchsorted(self.ids, ids)


class Ranked(Protocol):
    """A distribution of which no more is computed than is asked for."""

    @property
    def row(self) -> Logits:
        """All of it: normalised log-probs, float32 of shape (symbols,). Not for writing."""
        ...

    def at(self, ids: Ids) -> Logits:
        """Log-probs of some symbols, float32."""
        ...

    def best(self) -> Shortlist:
        """Symbols among which the most probable one is, the first among equals."""
        ...

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """Symbols that hold the ``count`` most probable ones of all but ``always``, and those too.

        Whatever becomes of the log-probs of ``always``, the ``count`` largest are then among them.
        """
        ...


# Tokens whose log-probs are equal in float32 are ordered by id. So those count as reaching a bound
# that miss it by no more than rounding, relative to the bound.
_ROUNDING = 1e-6


class Whole:
    """``Ranked`` of a row that is there.

    Args:
        maxima: Of it, where they are known; see ``Peaks``.
    """

    def __init__(self, row: Logits, maxima: Maxima | None = None) -> None:
        self.row = row
        self._maxima = maxima

    def at(self, ids: Ids) -> Logits:
        """See ``Ranked``."""
        picked: Logits = self.row[ids]
        return picked

    def best(self) -> Shortlist:
        """See ``Ranked``."""
        index = best_of(self.row, self._maxima)
        return Shortlist(np.array([index], np.intp), self.row[index : index + 1])

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """See ``Ranked``."""
        if len(self.row) <= SOON_SORTED:
            return Shortlist(None, self.row)
        ids = listed_in(Peaks([self.row], [self._maxima]), (0.0,), count, always)
        return Shortlist(ids, self.row if ids is None else self.row[ids])


Choosable: TypeAlias = Logits | Ranked


def ranked(distribution: Choosable) -> Ranked:
    """The same, of a row too."""
    return Whole(distribution) if isinstance(distribution, np.ndarray) else distribution


def listed_in(
    peaks: Peaks, log_weights: Sequence[float], count: int, always: Ids = NO_IDS
) -> Ids | None:
    """Symbols of a weighted mean of rows that hold the ``count`` most probable ones.

    So many have at least this share of their probability with one row; and no symbol is more
    probable in the mean than with the row that likes it best, so that all those that are as
    probable reach that bound in some row (Fagin, Lotem, Naor 2003, in its simplest form).

    Args:
        peaks: Of the rows.
        log_weights: As many, logs of the rows' weights.
        count: At least 1.
        always: As ``Ranked.shortlist`` takes them.

    Returns:
        Ascending; None where nothing bounds them, or a row is no numbers, which whoever chooses
        will see.
    """
    least = float(peaks.bound(count + len(always), log_weights))
    if not least > -np.inf:
        return None
    # What is equal to another in float32 reaches a bound together with it.
    ids = peaks.reaching(np.float32(least - _ROUNDING * (1.0 + abs(least))))
    if len(always):
        ids = np.unique(np.concatenate((ids, always)))
    # None at all only where maxima are not those of their rows.
    return ids if len(ids) else None
