"""Times, energies and money as people read them: in tables, in sentences, in refusals.

What programs read keeps milliseconds, joules and dollars.
"""

from __future__ import annotations

import math
from itertools import pairwise

_MS_BELOW = 10_000.0
_SECONDS_BELOW = 99_950.0
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_JOULES = ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "\N{MICRO SIGN}J"))


def duration_text(ms: float) -> str:
    """A time that something takes, such as ``850 ms``, ``12.3 s`` or ``6 min 39 s``."""
    if not math.isfinite(ms):
        return "for ever"
    if ms < _MS_BELOW:
        return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.2g} ms"
    return f"{ms / 1e3:.1f} s" if ms < _SECONDS_BELOW else _whole(round(ms / 1e3))


def span_text(seconds: float) -> str:
    """A time to wait, never told too short, such as ``12 s`` or ``3 h 30 min``."""
    return _whole(max(1, math.ceil(seconds))) if math.isfinite(seconds) else "for ever"


def joules_text(joules: float) -> str:
    """Energy with three digits and the unit that suits it."""
    return "0 J" if joules == 0 else joules_in(joules_unit(joules), joules)


def joules_unit(joules: float) -> str:
    """The unit that suits an energy; that of the smallest where it is none at all."""
    if joules == 0:
        return "J"
    return next((unit for scale, unit in _JOULES if abs(joules) >= 0.9995 * scale), _JOULES[-1][1])


def joules_in(unit: str, joules: float) -> str:
    """Energy in one of the units that there are."""
    scale = next(scale for scale, name in _JOULES if name == unit)
    return f"{_digits(joules / scale)} {unit}"


def usd_text(usd: float) -> str:
    """Dollars with cents, and below a dollar with two digits that count."""
    if usd == 0:
        return "$0"
    decimals = 2 if usd >= 1 else 1 - math.floor(math.log10(abs(usd)))
    return f"${usd:,.{max(2, min(decimals, 9))}f}"


def _whole(seconds: int) -> str:
    """The two largest units that it has, rounded to the smaller of them."""
    for (length, unit), (smaller, name) in pairwise(_UNITS):
        rounded = round(seconds / smaller) * smaller
        if rounded >= length:
            rest = rounded % length // smaller
            return f"{rounded // length} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{seconds} s"


def _digits(value: float) -> str:
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, min(2, decimals))}f}"
