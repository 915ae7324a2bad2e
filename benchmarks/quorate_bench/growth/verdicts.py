"""One line on each quantity: how a step grows with it, and against what. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quorate_bench.growth.curves import Curve


def verdict(quantity: str, lines: Sequence[Curve]) -> str:
    """A sentence or two on the lines of a quantity."""
    return _VERDICTS[quantity](lines)


def _members(lines: Sequence[Curve]) -> str:
    first, last = lines[0].points[0], lines[0].points[-1]
    grown = last.step_ms.value / first.step_ms.value
    told = (
        f"A step of {last.at:.0f} members takes {_ms(last.step_ms.value)}, {grown:.2f}x that of "
        f"{first.at:.0f}"
    )
    if math.isfinite(last.alone_ms):
        told += (
            f", and {last.step_ms.value / last.alone_ms:.2f}x what they take alone, one after the "
            f"other ({_ms(last.alone_ms)})"
        )
    return f"{told}; reading their weights alone takes {_ms(last.allowed_ms)}."


def _concurrency(lines: Sequence[Curve]) -> str:
    line = lines[-1]
    first, last = line.points[0], line.points[-1]
    gain = (last.at / last.step_ms.value) / (first.at / first.step_ms.value)
    return (
        f"{line.name}: {last.at:.0f} answers at once get {gain:.1f}x the tokens per second of "
        f"{first.at:.0f}; a step then takes {_ms(last.step_ms.value)}, "
        f"{last.step_ms.value / last.allowed_ms:.2f}x the least that this machine allows "
        f"({_ms(last.allowed_ms)})."
    )


def _context(lines: Sequence[Curve]) -> str:
    line = lines[0]
    first, last = line.points[0], line.points[-1]
    return (
        f"{line.name}: from {first.at:,.0f} to {last.at:,.0f} tokens of context a step goes from "
        f"{_ms(first.step_ms.value)} to {_ms(last.step_ms.value)} "
        f"({last.step_ms.value / first.step_ms.value:.2f}x); reading weights and KV cache from "
        f"memory would go from {_ms(first.allowed_ms)} to {_ms(last.allowed_ms)} "
        f"({last.allowed_ms / first.allowed_ms:.2f}x)."
    )


def _vocabulary(lines: Sequence[Curve]) -> str:
    first, last = lines[0].points[0], lines[0].points[-1]
    more = (last.at - first.at) / 1e3
    slope = 1e3 * (last.step_ms.value - first.step_ms.value) / more
    allowed = 1e3 * (last.allowed_ms - first.allowed_ms) / more
    return (
        f"From {first.at:,.0f} to {last.at:,.0f} tokens a step of two members goes from "
        f"{_ms(first.step_ms.value)} to {_ms(last.step_ms.value)}: {slope:.3g} µs for each further "
        f"1,000 tokens, of which reading weights and rows takes {allowed:.2g} µs."
    )


_VERDICTS = {
    "members": _members,
    "concurrency": _concurrency,
    "context": _context,
    "vocabulary": _vocabulary,
}


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"
