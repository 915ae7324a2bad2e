"""Amounts, tokens and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from quorate.amounts import duration_text, joules_text
from quorate.v1 import inference_pb2

UNKNOWN = "unknown"
SPACE = "\N{OPEN BOX}"
END = "<end>"

_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: "measured",
    inference_pb2.ENERGY_TIER_ESTIMATED: "estimated",
}


def energy_text(energy: inference_pb2.Energy) -> str:
    """Energy and how it is known; what is not known is said to be unknown, never 0."""
    if not energy.HasField("joules"):
        return f"energy {UNKNOWN}"
    return " ".join([joules_text(energy.joules), *tier_words(energy.tier)])


def tier_words(tier: inference_pb2.EnergyTier) -> list[str]:
    """How an energy is known, if it is."""
    return [_TIERS[tier]] if tier in _TIERS else []


def times_beside(longest_ms: float) -> Callable[[float], str]:
    """Writes times that are to be compared with one of ``longest_ms``, in its unit if it has one.

    That is the one in which sentences tell of it.
    """
    if longest_ms < 10_000:
        return "{:.0f} ms".format
    if longest_ms >= 99_950:
        return duration_text
    return lambda ms: f"{ms / 1e3:.1f} s" if ms >= 100 else f"{ms / 1e3:.2g} s"


def visible(piece: bytes) -> str:
    """A token's bytes in one line: spaces as ``␣``, what cannot be seen as an escape."""
    if not piece:
        return END
    text = piece.decode("utf-8", errors="backslashreplace")
    return "".join(_visible(char) for char in text)


def percent(logprob: float) -> str:
    """A log-prob in nats as percent, at most four characters."""
    share = 100 * math.exp(min(logprob, 0.0))
    if share < 0.5:
        return "<1%"
    if 99.5 <= share < 100 - 1e-6:
        return ">99%"
    return f"{share:.0f}%"


def bar(share: float, width: int = 12) -> str:
    """A share of the whole as a bar; more than the whole fills it."""
    filled = round(width * min(max(share, 0.0), 1.0))
    return "\N{FULL BLOCK}" * filled + "\N{LIGHT SHADE}" * (width - filled)


def plain_table(rows: Sequence[Sequence[str]], left: Iterable[int]) -> str:
    """Rows, headings first, as aligned text without escape codes.

    Cells of the columns in ``left`` begin on the left; the others end on the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    begin_left = frozenset(left)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in begin_left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _visible(char: str) -> str:
    if char == " ":
        return SPACE
    return char if char.isprintable() else _escape(char)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
