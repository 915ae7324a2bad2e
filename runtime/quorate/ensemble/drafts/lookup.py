"""Guesses what comes next by what followed the same symbols before, in prompt and answer.

No model is asked: answers that quote, correct or go on with their prompt repeat much of it (prompt
look-up decoding, Saxena 2023). Pure, and the same for the same symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

REACH = 4096
"""Symbols that are looked through, the last ones: so many are one pass of some microseconds."""

LEAST = 2
"""Fewest symbols that must have been said before for what followed them to be guessed again."""

MOST = 8
"""Most symbols that are compared; among places that agree in as many the last one counts."""


class Found(NamedTuple):
    """What followed the same symbols before.

    Attributes:
        symbols: The guess.
        agreeing: How many of the last symbols are the same there, from ``LEAST`` to ``MOST``.
    """

    symbols: tuple[int, ...]
    agreeing: int


NOTHING = Found((), 0)


class Lookup:
    """The last symbols of prompt and answer, of which any number may be added.

    Args:
        prompt: Its symbols.
        least: As ``LEAST``.
        most: As ``MOST``.
    """

    def __init__(self, prompt: Sequence[int], least: int = LEAST, most: int = MOST) -> None:
        self._least, self._most = least, most
        recent = [*prompt[-REACH:]]
        self._symbols: npt.NDArray[np.int32] = np.empty(len(recent) + REACH, np.int32)
        self._symbols[: len(recent)] = recent
        self._size = len(recent)

    def add(self, symbol: int) -> None:
        """Adds a symbol of the answer."""
        if self._size == len(self._symbols):
            kept = self._symbols[-REACH:].copy()
            self._symbols = np.empty(2 * REACH, np.int32)
            self._symbols[: len(kept)] = kept
            self._size = len(kept)
        self._symbols[self._size] = symbol
        self._size += 1

    def find(self, count: int) -> Found:
        """Guesses up to so many symbols. A guess that reaches the end goes on with itself."""
        known = self._symbols[max(0, self._size - REACH) : self._size]
        end = len(known)
        if end <= self._least or count < 1:
            return NOTHING
        # Where what is compared ends.
        places = np.flatnonzero(known[: end - 1] == known[end - 1])
        agreeing = 1 if len(places) else 0
        while len(places) and agreeing < min(self._most, end - 1):
            longer = places[places >= agreeing]
            longer = longer[known[longer - agreeing] == known[end - 1 - agreeing]]
            if not len(longer):
                break
            places, agreeing = longer, agreeing + 1
        if agreeing < self._least:
            return NOTHING
        guess: list[int] = []
        for source in range(int(places[-1]) + 1, int(places[-1]) + 1 + count):
            guess.append(int(known[source]) if source < end else guess[source - end])
        return Found(tuple(guess), agreeing)
