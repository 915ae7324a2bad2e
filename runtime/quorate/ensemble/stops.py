"""Finds stop strings in a stream of bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class StopMatcher:
    """Passes bytes on until a stop string is complete.

    The way a text is cut into pieces makes no difference: the stop string that is complete first
    wins, and of several that end on the same byte the longest. Bytes are held back only while they
    may still be the beginning of a stop string. Works on bytes because a token may end in the
    middle of a code point.

    Nothing is built but a sorted list: what may be a beginning is found in it by bisection, and
    where no stop string begins now, none will later, so that each byte is looked at about once as
    the first one of a beginning.

    Args:
        stop: The strings, as ``access.limits`` lets them through: none is empty, each has a UTF-8
            form, and all together are short.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stops = sorted({text.encode() for text in stop})
        self._longest = max(map(len, self._stops), default=0)
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
        begun = self._first_complete(data)
        if begun is not None:
            self._held = b""
            return data[:begun], True
        safe = self._first_beginning(data)
        self._held = data[safe:]
        return data[:safe], False

    def flush(self) -> bytes:
        """Returns what is held back, where a text ends; what is pushed next begins another one."""
        held, self._held = self._held, b""
        return held

    def _first_complete(self, data: bytes) -> int | None:
        """Where the stop string begins that is complete first, and of several the longest."""
        found: tuple[int, int] | None = None
        for stop in self._stops:
            # No further than the first end that is known.
            at = data.find(stop, 0, None if found is None else found[0])
            if at >= 0:
                ends = at + len(stop), at
                found = ends if found is None else min(found, ends)
        return None if found is None else found[1]

    def _first_beginning(self, data: bytes) -> int:
        """Where the first bytes stand that a stop string may begin with; the end where none do."""
        for at in range(max(0, len(data) - self._longest + 1), len(data)):
            rest = data[at:]
            index = bisect_left(self._stops, rest)
            if index < len(self._stops) and self._stops[index].startswith(rest):
                return at
        return len(data)
