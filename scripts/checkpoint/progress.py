"""Tells how far a conversion has come: one line that changes in a terminal, few lines in a pipe."""

from __future__ import annotations

from typing import TextIO

_LINES_IN_A_PIPE = 10


class Progress:
    """Counts weights that were written.

    Args:
        stream: Where to tell.
        total: Weights in all.
    """

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = max(total, 1)
        self._done = 0
        self._told = 0
        self._moves = stream.isatty()

    def advance(self, weights: int, name: str) -> None:
        """Counts a tensor's weights."""
        self._done += weights
        if self._moves:
            self._stream.write(f"\r\x1b[K{self._share():>4.0%}  {name}")
            self._stream.flush()
        elif int(self._share() * _LINES_IN_A_PIPE) > self._told:
            self._told = int(self._share() * _LINES_IN_A_PIPE)
            self._stream.write(f"{self._share():.0%} of the weights\n")
            self._stream.flush()

    def close(self) -> None:
        """Leaves the terminal's line empty."""
        if self._moves and self._done:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _share(self) -> float:
        return self._done / self._total
