"""Answers that a grammar holds to: the mixture is renormalised over what may come next.

That is local: a symbol is as probable as the mixture finds it among those that the grammar allows
here, whatever the mixture would have made of the texts that become impossible by it. Sampling from
the mixture under the condition of the whole grammar is another distribution, and would need all
continuations (Park et al. 2024, "Grammar-Aligned Decoding").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from quorate.ensemble.constraint import Constraint, Flags
from quorate.ensemble.reasoning import Reasoning
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

    Where the answer begins with a model's reasoning, the grammar begins behind that; nowhere else
    are there marks of reasoning in an answer of a form. The model may begin it itself only where
    that is said, since most forms are asked for to be had at once.

    Args:
        session: Follows the grammar over the symbols that are sampled.
        also: What else keeps the chosen symbols valid.
        size: Symbols there are.
        never: Symbols that no answer holds.
        ends: Symbols that end an answer; where there are none it ends where it is whole.
        reasoning: Where the answer reasons, if anywhere.
        may_reason: Whether the model may begin with reasoning.
    """

    def __init__(
        self,
        session: GuideSession,
        also: Constraint,
        size: int,
        never: Collection[int] = (),
        ends: Collection[int] = (),
        reasoning: Reasoning | None = None,
        may_reason: bool = False,
    ) -> None:
        self._session = session
        self._also = also
        self._size = size
        marks = reasoning.begins | reasoning.ends if reasoning is not None else frozenset()
        self._never = np.array(sorted({*never} | marks), np.intp)
        self._ends = bool(ends)
        self._until = reasoning.ends if reasoning is not None and reasoning.within else frozenset()
        # Those that begin reasoning, as long as nothing was said.
        self._thoughts = reasoning if may_reason and not self._until else None
        self._allowed: Allowed | None = None
        self.complete = False

    @property
    def forced(self) -> bool:
        """See ``Constraint``."""
        return self._allowed is not None and self._allowed.count == 1

    @property
    def allowed(self) -> Flags | None:
        """See ``Constraint``."""
        return self._also.allowed if self._allowed is None else self._allowed.flags

    async def ready(self) -> None:
        """See ``Constraint``.

        Raises:
            InvalidRequest: A limit of the grammar was reached.
            UnsupportedPlan: No symbol spells what the grammar needs.
            Unavailable: Nothing follows grammars at present.
        """
        await self._also.ready()
        if self._until or self._allowed is not None or self.complete:
            return
        seen = await self._session.seen()
        self.complete = seen.complete
        if seen.bits is None:
            return
        flags = self._flags(seen.bits)
        if not flags.any():
            # Beyond the symbols stands the end that a vocabulary without one is given.
            self.complete = not self._ends and _bit(seen.bits, self._size)
            if not self.complete:
                raise UnsupportedPlan(
                    "plan", "the members' vocabulary has no token for what must come next"
                )
            return
        self._allowed = Allowed(flags)

    def mask(self, mixture: Ranked) -> Ranked:
        """See ``Constraint``; where all that may come is impossible, it is equally probable."""
        if self._allowed is None:
            return self._also.mask(mixture)
        return Masked(mixture, self._allowed)

    def accept(self, symbol: int) -> None:
        """See ``Constraint``."""
        self._also.accept(symbol)
        if self._until:
            if symbol in self._until:
                self._until = frozenset()
            return
        self._allowed = None
        thoughts, self._thoughts = self._thoughts, None
        if thoughts is not None and symbol in thoughts.begins:
            self._until = thoughts.ends
        else:
            self._session.accept(symbol)

    def foresee(self, path: Sequence[int]) -> None:
        """See ``Constraint``."""
        if not self._until:
            self._session.foresee(path)

    def _flags(self, bits: Bits) -> Flags:
        if not len(bits):
            return np.zeros(self._size, np.bool_)
        flags: Flags = np.unpackbits(bits, count=self._size, bitorder="little").view(np.bool_)
        flags[self._never] = False
        if self._thoughts is not None:
            flags[[*self._thoughts.begins]] = True
        also = self._also.allowed
        return flags if also is None else flags & also


class Allowed:
    """Which symbols are allowed.

    Args:
        flags: Of each, bool of shape (symbols,).
    """

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.count = int(np.count_nonzero(flags))

    @property
    def ids(self) -> Ids:
        """All that are, ascending."""
        return np.flatnonzero(self.flags)


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
        return masked_row(self._inner.row, self._allowed.flags)

    def at(self, ids: Ids) -> Logits:
        """See ``Ranked``."""
        return np.where(self._allowed.flags[ids], self._inner.at(ids), np.float32(-np.inf))

    def best(self) -> Shortlist:
        """See ``Ranked``."""
        best = self._inner.best()
        symbol = best.best()
        return best if symbol is not None and self._allowed.flags[symbol] else self.shortlist(1)

    def shortlist(self, count: int, always: Ids = NO_IDS) -> Shortlist:
        """See ``Ranked``."""
        if self._allowed.count > count:
            found = self._among_likely(count, always)
            if found is not None:
                return found
        if self._allowed.count > _FEW:
            return Shortlist(None, self.row)
        ids = np.union1d(self._allowed.ids, always).astype(np.intp)
        allowed = self._allowed.flags[ids]
        return Shortlist(ids, masked_row(self._inner.at(ids), allowed))

    def _among_likely(self, count: int, always: Ids) -> Shortlist | None:
        """The same of the most probable symbols, where enough of these are allowed."""
        most = max(_LIKELY, _ODDS * count)
        likely = self._inner.shortlist(most, always)
        if likely.ids is None:
            return Shortlist(None, self.row)
        allowed = self._allowed.flags[likely.ids]
        logprobs = np.where(allowed, likely.logprobs, np.float32(-np.inf))
        others = np.isin(likely.ids, always, invert=True) if len(always) else np.True_
        among = likely.logprobs[others] if len(always) else likely.logprobs
        if len(among) < most:
            return None
        # More may be listed than were asked for, and nobody knows what is as probable as those.
        least = np.partition(among, len(among) - most)[len(among) - most]
        certain = np.count_nonzero(allowed & others & (likely.logprobs >= least))
        return Shortlist(likely.ids, logprobs) if certain >= count and least > -np.inf else None


def masked_row(row: Logits, allowed: Flags) -> Logits:
    """What is allowed of a row, or all of that alike where none of it is possible."""
    masked = np.where(allowed, row, np.float32(-np.inf))
    if masked.max() > -np.inf:
        return masked
    return np.where(allowed, np.float32(0.0), np.float32(-np.inf))


def _bit(bits: Bits, at: int) -> bool:
    return at >> 3 < len(bits) and bool(bits[at >> 3] >> (at & 7) & 1)
