"""Whole code points from pieces of JSON text."""

from __future__ import annotations


class CodePoints:
    """Joins surrogate pairs that a server split between two events.

    JSON writes a code point above U+FFFF as two escapes. A server that counts in UTF-16 may send
    them in two events; each half alone is not a character and cannot be encoded.
    """

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> str:
        """Adds text and returns what is whole; half a pair at its end is held back."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def flush(self) -> str:
        """Gives what was held back, as U+FFFD: its other half never came."""
        held, self._held = self._held, ""
        return _joined(held)


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
