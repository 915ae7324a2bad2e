"""Bytes that a member was not asked about, and reads together later; see ``drafts.owing``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence

from quorate.engines.contract import LogProbs
from quorate.ensemble.guesses import Begun


class OwesBytes(ABC):
    """Base of the byte predictor: ``OwesSymbols``."""

    def __init__(self) -> None:
        self._owed = bytearray()

    @property
    def owed(self) -> int:
        """See ``OwesSymbols``; in bytes."""
        return len(self._owed)

    def owe(self, symbol: int) -> None:
        """See ``OwesSymbols``."""
        self._owed.append(symbol)

    def catch_up(self) -> Awaitable[LogProbs]:
        """See ``OwesSymbols``; the work begins with the await."""
        return Begun(self._read_owed)

    @abstractmethod
    def feed(self, symbol: int, ahead: Sequence[int] = ()) -> Awaitable[LogProbs]:
        """See ``Predictor``."""

    async def _read_owed(self) -> LogProbs:
        """Feeds what is owed byte by byte, told each time what follows."""
        while True:
            # What was fed is known to it, should it be lost meanwhile.
            row = await self.feed(self._owed.pop(0), bytes(self._owed))
            if not self._owed:
                return row
