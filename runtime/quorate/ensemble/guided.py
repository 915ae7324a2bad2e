"""Answers that a grammar holds to: the mixture is renormalised over what may come next.

That is local: a symbol is as probable as the mixture finds it among those that the grammar allows
here, whatever the mixture would have made of the texts that become impossible by it. Sampling from
the mixture under the condition of the whole grammar is another distribution, and would need all
continuations (Park et al. 2024, "Grammar-Aligned Decoding").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quorate.ensemble.constraint import Constraint
from quorate.errors import UnsupportedPlan
from quorate.guides.guide import Bits, GuideSession
from quorate.sampling.peaks import Ids, Logits
from quorate.sampling.shortlist import NO_IDS, Ranked, Shortlist

# Looked through for what is allowed before all of it is.
_LIKELY = 64
_ODDS = 4
# Above so many allowed symbols it is no faster to look at these alone.
_FEW = 4096


class GuidedConstraint:
    """``Constraint`` by a grammar, on top of another one.

    Args:
        session: Follows the grammar over the symbols that are sampled.
        also: What else keeps the chosen symbols valid.
        size: Symbols there are.
    """

    def __init__(self, session: GuideSession, also: Constraint, size: int) -> None:
        self._session = session
        self._also = also
        self._size = size
        self._allowed: Allowed | None = None
        self.complete = False

    async def ready(self) -> None:
        """See ``Constraint``.

        Raises:
            InvalidRequest: A limit of the grammar was reached.
            UnsupportedPlan: No symbol spells what the grammar needs.
            Unavailable: Nothing follows grammars at present.
        """
        await self._also.ready()
        if self._allowed is not None or self.complete:
            return
        seen = await self._session.seen()
        self.complete = seen.complete
        if seen.bits is None:
            return
        allowed = Allowed(seen.bits, self._size) if len(seen.bits) else None
        if allowed is None or not allowed.count:
            raise UnsupportedPlan(
                "constraint", "the members' vocabulary has no token for what must come next"
            )
        self._allowed = allowed

    def mask(self, mixture: Ranked) -> Ranked:
        """See ``Constraint``; where all that may come is impossible, it is equally probable."""
        if self._allowed is None:
            raise RuntimeError("asked before it was ready")
        return Masked(self._also.mask(mixture), self._allowed)

    def accept(self, symbol: int) -> None:
        """See ``Constraint``."""
        self._also.accept(symbol)
        self._session.accept(symbol)
        self._allowed = None

    def foresee(self, path: Sequence[int]) -> None:
        """See ``Constraint``."""
        self._session.foresee(path)


class Allowed:
    """Which symbols are allowed.

    Args:
        bits: A bit for each, the lowest first; there may be more of them than symbols.
    """

    def __init__(self, bits: Bits, size: int) -> None:
        self._bits = bits
        self._size = size
        self.count = int(np.bitwise_count(bits[: size // 8]).sum()) + sum(
            bool(self._bits[at >> 3] >> (at & 7) & 1) for at in range(size // 8 * 8, size)
        )

    def __contains__(self, symbol: int) -> bool:
        return bool(self._bits[symbol >> 3] >> (symbol & 7) & 1)

    def of(self, ids: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of some symbols are allowed."""
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
            self._bits[ids >> 3] >> (ids & 7).astype(np.uint8) & 1
        ).astype(np.bool_)
        return found

    def ids(self) -> Ids:
        """All that are allowed, ascending."""
        return np.flatnonzero(self.every())

    def every(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Of each symbol whether it is allowed."""
        return np.unpackbits(self._bits, count=self._size, bitorder="little").view(np.bool_)


class Masked:
    """``Ranked`` of what is allowed of another one; not normalised.

    What is asked for is mostly among the most probable symbols, of which most are allowed; only
    where that is not so is more looked at.
    """

    def __init__(self, inner: Ranked, allowed: Allowed) -> None:
        self._inner = inner
        self._allowed = allowed

    @property
    def row(self) -> Logits:
        """See ``Ranked``."""
        every = self._allowed.every()
        return _possible(np.where(every, self._inner.row, np.float32(-np.inf)), every)

    def at(self, ids: Ids) -> Logits:
        """See ``Ranked``."""
        return np.where(self._allowed.of(ids), self._inner.at(ids), np.float32(-np.inf))

    def best(self) -> Shortlist:
        """See ``Ranked``."""
        best = self._inner.best()
        symbol = best.best()
        return best if symbol is not None and symbol in self._allowed else self.shortlist(1)

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """See ``Ranked``."""
        if self._allowed.count > count:
            likely = self._inner.shortlist(max(_LIKELY, _ODDS * count), always)
            if likely.ids is None:
                return Shortlist(None, self.row)
            logprobs = np.where(self._allowed.of(likely.ids), likely.logprobs, np.float32(-np.inf))
            if np.count_nonzero(logprobs > -np.inf) >= count + len(always):
                return Shortlist(likely.ids, logprobs)
        if self._allowed.count > _FEW:
            return Shortlist(None, self.row)
        ids = np.union1d(self._allowed.ids(), always).astype(np.intp)
        return Shortlist(ids, _possible(self.at(ids), self._allowed.of(ids)))


def _possible(logprobs: Logits, allowed: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Logits:
    """The same, or all that is allowed alike where none of it is possible."""
    if logprobs.max() > -np.inf:
        return logprobs
    return np.where(allowed, np.float32(0.0), np.float32(-np.inf))
