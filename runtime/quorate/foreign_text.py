"""Text that others wrote, made fit to be shown: in a log, in an error, on a terminal. Pure.

Names and messages come from requests, model files, templates, remotes and workers. What stands in
them may be long, may have line feeds that forge lines, and may have escape sequences that do things
to a terminal. It is cleaned once, where it is shown; what is kept, compared or sent on as data
stays as it was.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

LINE_CHARACTERS = 2000
"""Of one line of a log, or one message."""
QUOTED_CHARACTERS = 64
"""Of a value that an error quotes."""

_COMPARED_CHARACTERS = 64
_SHOWN_NAMES = 8
_COMPARED_NAMES = 64
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# Of a text of several lines.
_KEPT = frozenset("\n\t")


def one_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """A text on one line: spaces for white space, escapes for what does not print, cut at ``most``.

    Only the beginning of a long text is looked at.
    """
    head = text[: most + 1]
    line = head if head.isprintable() else "".join(map(_printed, head))
    # Escapes are longer than what they stand for.
    if len(text) <= most and len(line) <= most:
        return line
    return line[: most - 1] + _ELLIPSIS


def quoted(text: str, most: int = QUOTED_CHARACTERS) -> str:
    """A value between quotation marks, as ``repr`` writes it, and cut where it is long."""
    return repr(text) if len(text) <= most else f"{text[: most - 1]!r}{_ELLIPSIS}"


def harmless(text: str) -> str:
    """An answer for a terminal: its own text, but control characters are escapes.

    Line feeds and tabs stay, and so do joiners and marks of direction, which languages need.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _controls(char) else char for char in text)


def nearest_names(name: str, known: Sequence[str], most: int) -> list[str]:
    """The known names that are most like one that was given, the likest first.

    Comparing takes time with the product of both lengths and with the number of names. A name of
    more than 64 characters is like none; of more than 64 names only those are compared whose length
    is nearest.
    """
    if len(name) > _COMPARED_CHARACTERS:
        return []
    short = [one for one in known if len(one) <= _COMPARED_CHARACTERS]
    if len(short) > _COMPARED_NAMES:
        short = sorted(short, key=lambda one: abs(len(one) - len(name)))[:_COMPARED_NAMES]
    return difflib.get_close_matches(name, short, n=most, cutoff=0.5)


def name_hint(near: Sequence[str], known: Sequence[str]) -> str:
    """What may have been meant by a name that nobody has; "" where there are no names at all."""
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = ", ".join(one_line(one, QUOTED_CHARACTERS) for one in known[:_SHOWN_NAMES])
    return f"known: {shown}{', …' if len(known) > _SHOWN_NAMES else ''}" if known else ""


def _printed(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() and not _separates_records(char) else _escaped(char)


def _separates_records(char: str) -> bool:
    """The control characters FS to US, which Python counts as white space."""
    return "\x1c" <= char <= "\x1f"


def _controls(char: str) -> bool:
    """Whether a terminal may act on it: C0, DEL and C1, and halves of no character."""
    if char in _KEPT:
        return False
    return char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
