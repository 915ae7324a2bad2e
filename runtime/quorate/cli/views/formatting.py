"""Amounts, tokens and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from quorate.v1 import inference_pb2

UNKNOWN = "unknown"
SPACE = "\N{OPEN BOX}"
END = "<end>"

_JOULES = ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "\N{MICRO SIGN}J"))
_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: "measured",
    inference_pb2.ENERGY_TIER_ESTIMATED: "estimated",
}
_SPANS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def joules_text(joules: float) -> str:
    """Energy with three digits and the unit that suits it."""
    if joules == 0:
        return "0 J"
    scale, unit = next(
        ((scale, unit) for scale, unit in _JOULES if abs(joules) >= 0.9995 * scale), _JOULES[-1]
    )
    return f"{_digits(joules / scale)} {unit}"


def energy_text(energy: inference_pb2.Energy) -> str:
    """Energy and how it is known; what is not known is said to be unknown, never 0."""
    if not energy.HasField("joules"):
        return f"energy {UNKNOWN}"
    return " ".join([joules_text(energy.joules), *tier_words(energy.tier)])


def tier_words(tier: inference_pb2.EnergyTier) -> list[str]:
    """How an energy is known, if it is."""
    return [_TIERS[tier]] if tier in _TIERS else []


def usd_text(usd: float) -> str:
    """Dollars with cents, and below a dollar with two digits that count."""
    if usd == 0:
        return "$0"
    decimals = 2 if usd >= 1 else 1 - math.floor(math.log10(abs(usd)))
    return f"${usd:,.{max(2, min(decimals, 9))}f}"


def time_text(ms: float) -> str:
    """A time that an answer takes."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1e3:.1f} s" if ms < 99_950 else span_text(ms / 1e3)


def times_in(unit: str) -> Callable[[float], str]:
    """Writes milliseconds in one unit, ``ms`` or ``s``, so that they can be compared."""
    if unit == "ms":
        return "{:.0f} ms".format
    return lambda ms: f"{ms / 1e3:.1f} s" if ms >= 100 else f"{ms / 1e3:.2g} s"


def joules_in(unit: str) -> Callable[[float], str]:
    """Writes joules in one unit; see ``joules_unit``."""
    scale = next(scale for scale, name in _JOULES if name == unit)
    return lambda joules: f"{_digits(joules / scale)} {unit}"


def joules_unit(joules: float) -> str:
    """The unit that suits an energy."""
    return next((unit for scale, unit in _JOULES if abs(joules) >= 0.9995 * scale), "J")


def span_text(seconds: float) -> str:
    """A span of time to wait, such as ``12 s`` or ``3.5 h``."""
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{max(1, math.ceil(seconds))} s"


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


def _digits(value: float) -> str:
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, min(2, decimals))}f}"


def _visible(char: str) -> str:
    if char == " ":
        return SPACE
    return char if char.isprintable() else _escape(char)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
