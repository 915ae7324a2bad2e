"""Finds stop strings in a stream of bytes."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Passes bytes on until a stop string is complete.

    It reads byte by byte, so that the way a text is cut into pieces makes no difference: the stop
    string that is complete first wins, and of several that end on the same byte the longest. Bytes
    are held back only while they may still be the beginning of a stop string. Works on bytes
    because a token may end in the middle of a code point. (Knuth, Morris, Pratt 1977, one automaton
    for each string.)

    Args:
        stop: The strings, as ``access.limits`` lets them through: none is empty, and each has a
            UTF-8 form.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stops = [_Automaton(text.encode()) for text in stop]
        self._held = b""

    def push(self, piece: bytes) -> tuple[bytes, bool]:
        """Reads more bytes.

        Returns:
            The bytes that may be shown now, and whether a stop string is complete; then these are
            the last bytes before it, and the matcher has done its work.
        """
        if not self._stops:
            return piece, False
        data = self._held + piece
        for end, byte in enumerate(piece, len(self._held) + 1):
            # A list: every automaton must read the byte, also after another one has finished.
            finished = [stop.length for stop in self._stops if stop.read(byte)]
            if finished:
                self._held = b""
                return data[: end - max(finished)], True
        safe = len(data) - max(stop.matched for stop in self._stops)
        self._held = data[safe:]
        return data[:safe], False

    def flush(self) -> bytes:
        """Returns what is held back, where a text ends; what is pushed next begins another one."""
        held, self._held = self._held, b""
        for stop in self._stops:
            stop.matched = 0
        return held


class _Automaton:
    """One stop string and how many of its bytes the text's end matches."""

    def __init__(self, pattern: bytes) -> None:
        self.length = len(pattern)
        self.matched = 0
        self._pattern = pattern
        self._borders = _borders(pattern)

    def read(self, byte: int) -> bool:
        """Reads a byte and returns whether the string is complete."""
        while self.matched and self._pattern[self.matched] != byte:
            self.matched = self._borders[self.matched - 1]
        if self._pattern[self.matched] == byte:
            self.matched += 1
        return self.matched == self.length


def _borders(pattern: bytes) -> list[int]:
    """For every prefix, the length of its longest proper prefix that is also its suffix."""
    borders = [0]
    length = 0
    for byte in pattern[1:]:
        while length and pattern[length] != byte:
            length = borders[length - 1]
        if pattern[length] == byte:
            length += 1
        borders.append(length)
    return borders
