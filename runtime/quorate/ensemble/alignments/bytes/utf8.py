"""Which bytes keep a text valid UTF-8."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quorate.engines.vocabulary import END
from quorate.ensemble.alignments.bytes.hypotheses import SYMBOLS
from quorate.ensemble.constraint import AtOnce, Flags
from quorate.sampling.shortlist import Ranked, Whole

_CONTINUATION = range(0x80, 0xC0)
# First bytes of more than one byte: how many follow, and what the next one may be. Overlong forms,
# surrogates and what is beyond U+10FFFF are no text (RFC 3629).
_LEADS = (
    (range(0xC2, 0xE0), 1, _CONTINUATION),
    (range(0xE0, 0xE1), 2, range(0xA0, 0xC0)),
    (range(0xE1, 0xED), 2, _CONTINUATION),
    (range(0xED, 0xEE), 2, range(0x80, 0xA0)),
    (range(0xEE, 0xF0), 2, _CONTINUATION),
    (range(0xF0, 0xF1), 3, range(0x90, 0xC0)),
    (range(0xF1, 0xF4), 3, _CONTINUATION),
    (range(0xF4, 0xF5), 3, range(0x80, 0x90)),
)


class _State(NamedTuple):
    """What may come next.

    Attributes:
        missing: Bytes that the code point begun still needs; 0 between code points.
        allowed: Which symbols, bool of shape (257,).
    """

    missing: int
    allowed: npt.NDArray[np.bool_]


class Utf8Constraint(AtOnce):
    """``Constraint`` that follows a text byte by byte and rules out what is no UTF-8.

    The text can end between code points only.
    """

    def __init__(self) -> None:
        self._state = _BETWEEN

    @property
    def missing(self) -> int:
        """Bytes that the code point begun still needs; 0 between code points."""
        return self._state.missing

    @property
    def allowed(self) -> Flags:
        """See ``Constraint``."""
        return self._state.allowed

    def mask(self, mixture: Ranked) -> Ranked:
        """See ``Constraint``.

        Where the mixture holds nothing that may come next, all that may is equally probable.

        Args:
            mixture: Of the 256 bytes and the end.
        """
        allowed = self._state.allowed
        masked = np.where(allowed, mixture.row, np.float32(-np.inf))
        if masked.max() > -np.inf:
            return Whole(masked)
        return Whole(np.where(allowed, np.float32(0), np.float32(-np.inf)))

    def accept(self, symbol: int) -> None:
        """See ``Constraint``."""
        self._state = _following(self._state, symbol)


def _following(state: _State, byte: int) -> _State:
    if state.missing:
        return _WITHIN[state.missing - 1]
    return _BEHIND_LEAD.get(byte, _BETWEEN)


def _mask(*allowed: range) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SYMBOLS, np.bool_)
    for some in allowed:
        mask[some.start : some.stop] = True
    return mask


_BETWEEN = _State(0, _mask(range(0x80), *(leads for leads, _, _ in _LEADS), range(END, END + 1)))
_WITHIN = (_BETWEEN, *(_State(missing, _mask(_CONTINUATION)) for missing in (1, 2)))
_BEHIND_LEAD = {
    lead: _State(missing, _mask(following))
    for leads, missing, following in _LEADS
    for lead in leads
}
