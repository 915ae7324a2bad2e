"""Which bytes keep a text valid UTF-8."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs
from quorate.ensemble.hypotheses import END, SYMBOLS

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


class Utf8Guide:
    """Follows a text byte by byte and rules out what could not go on as UTF-8.

    Attributes:
        missing: Bytes that the code point begun still needs; 0 between code points.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._allowed = _AT_BOUNDARY

    def masked(self, mixture: LogProbs) -> LogProbs:
        """The mixture without what is ruled out, no longer normalised.

        The text can end between code points only. Where the mixture holds nothing that may come
        next, all that may is equally probable.

        Args:
            mixture: Log-probs of the 256 bytes and the end, float32 of shape (257,), not modified.
        """
        masked = np.where(self._allowed, mixture, np.float32(-np.inf))
        if masked.max() > -np.inf:
            return masked
        return np.where(self._allowed, np.float32(0), np.float32(-np.inf))

    def push(self, byte: int) -> None:
        """Goes on by a byte that was allowed."""
        if self.missing:
            self.missing -= 1
            self._allowed = _WITHIN if self.missing else _AT_BOUNDARY
            return
        for leads, missing, following in _LEADS:
            if byte in leads:
                self.missing = missing
                self._allowed = _mask(following)
                return


def _mask(*allowed: range) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SYMBOLS, np.bool_)
    for some in allowed:
        mask[some.start : some.stop] = True
    return mask


_WITHIN = _mask(_CONTINUATION)
_AT_BOUNDARY = _mask(range(0x80), *(leads for leads, _, _ in _LEADS), range(END, END + 1))
