"""Pieces of tokens and probabilities, written so that people can read them."""

from __future__ import annotations

import math

SPACE = "\N{OPEN BOX}"
END = "<end>"


def visible(piece: bytes) -> str:
    """A token's bytes in one line: spaces as ``␣``, what cannot be seen as an escape."""
    if not piece:
        return END
    text = piece.decode("utf-8", errors="backslashreplace")
    return "".join(_visible(char) for char in text)


def harmless(text: str) -> str:
    """Text for a terminal: control characters other than line feed and tab become escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def percent(logprob: float) -> str:
    """A log-prob in nats as percent, at most four characters."""
    share = 100 * math.exp(min(logprob, 0.0))
    if share < 0.5:
        return "<1%"
    if 99.5 <= share < 100 - 1e-6:
        return ">99%"
    return f"{share:.0f}%"


def _visible(char: str) -> str:
    if char == " ":
        return SPACE
    return char if char.isprintable() else _escape(char)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
