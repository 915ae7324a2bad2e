"""Text and token pieces that no terminal takes for commands."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", " ": "\N{MIDDLE DOT}"}


def terminal_text(text: str) -> str:
    """Replaces control characters, except line feed and tab, by U+FFFD."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def visible(piece: bytes) -> str:
    r"""Shows every byte of a piece: spaces as dots, the rest that does not print as escapes.

    The piece of a control token, which is empty, becomes ``(end)``: the end of generation is the
    only one a vote can be for.
    """
    if not piece:
        return "(end)"
    text = piece.decode("utf-8", errors="backslashreplace")
    return "".join(_ESCAPES.get(char) or _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
