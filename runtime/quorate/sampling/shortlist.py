"""The symbols of a distribution that a choice is between: few of all there are.

A vocabulary has 150,000 tokens, and what is chosen is one of some tens. So whoever chooses says how
many are enough, and whoever holds the distribution finds them in its own way.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from quorate.sampling.candidates import Ids, Logits, Peaks

NO_IDS: Ids = np.empty(0, np.intp)

FEW_SYMBOLS = 512
"""So many are sorted sooner than it is found out which of them matter."""


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

    def best(self) -> Shortlist:
        """Symbols among which the most probable one is, the first among equals."""
        ...

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """Symbols that hold the ``count`` most probable ones of all but ``always``, and those too.

        Whatever becomes of the log-probs of ``always``, the ``count`` largest are then among them.
        """
        ...


class Whole:
    """``Ranked`` of a row that is there."""

    def __init__(self, row: Logits) -> None:
        self.row = row

    def best(self) -> Shortlist:
        """See ``Ranked``."""
        index = int(self.row.argmax())
        return Shortlist(np.array([index], np.intp), self.row[index : index + 1])

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """See ``Ranked``."""
        if len(self.row) <= FEW_SYMBOLS:
            return Shortlist(None, self.row)
        peaks = Peaks(self.row)
        bound = peaks.bound(count + len(always))
        if not bound > -np.inf:
            # Nothing bounds them, or it is no numbers, which whoever chooses will see.
            return Shortlist(None, self.row)
        ids = peaks.reaching(bound)
        if len(always):
            ids = np.unique(np.concatenate((ids, always)))
        return Shortlist(ids, self.row[ids])


Choosable: TypeAlias = Logits | Ranked


def ranked(distribution: Choosable) -> Ranked:
    """The same, of a row too."""
    return Whole(distribution) if isinstance(distribution, np.ndarray) else distribution
