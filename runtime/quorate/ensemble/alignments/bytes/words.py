"""Cuts a stream of bytes into pieces that people can read: words, marks, single ideographs."""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"
_MAX_BYTES = 32
_WIDE = ("W", "F")


class WordCutter:
    """Tells where one piece ends and the next begins.

    White space goes with the word behind it, marks stand alone, combining characters and what is
    joined by a zero-width joiner stay with what they belong to. Reads valid UTF-8.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._last = ""
        self._size = 0

    def push(self, byte: int) -> int:
        """Reads a byte.

        Returns:
            How many of the bytes read last belong to a new piece; 0 where none has begun yet.
        """
        self._pending += bytes((byte,))
        self._size += 1
        try:
            char = self._pending.decode("utf-8")
        except UnicodeDecodeError:
            return 0
        size, self._pending = len(self._pending), b""
        last, self._last = self._last, char
        if not last or (_belongs(last, char) and self._size <= _MAX_BYTES):
            return 0
        self._size = size
        return size


def _belongs(last: str, char: str) -> bool:
    """Whether a character stays in the piece that ends with ``last``."""
    if char == _JOINER or last == _JOINER or unicodedata.category(char) in ("Mn", "Mc", "Me", "Sk"):
        return True
    if char.isspace():
        return last.isspace()
    if last.isspace():
        return True
    return _is_letter(last) and _is_letter(char)


def _is_letter(char: str) -> bool:
    """Whether a character makes words with its like; ideographs are words by themselves."""
    category = unicodedata.category(char)
    return (
        category[0] in "LNM" and unicodedata.east_asian_width(char) not in _WIDE
    ) or category == "Pc"
