"""The figures of a run that shows how a step grows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from quorate_bench.growth.curves import Curve, curves
from quorate_bench.growth.verdicts import verdict
from quorate_bench.records import Records
from quorate_bench.report.drawing import Picture, legend_below, style

_TITLES = {
    "members": ("A step against members", "members of the vote"),
    "concurrency": ("A step against answers at once", "answers at once"),
    "context": ("A step against context", "tokens of context"),
    "vocabulary": ("A step against vocabulary", "tokens of the vocabulary"),
}
_LOGARITHMIC = ("concurrency", "context", "vocabulary")
# Where both grow by orders of magnitude, straight lines are proportions.
_TIMES_TOO = ("concurrency", "vocabulary")
_DECIMALS = 1000


def growth_pictures(records: Records) -> Iterator[Picture]:
    """One for each quantity that was measured."""
    for quantity, lines in curves(records).items():
        title, label = _TITLES[quantity]
        draw = partial(_draw, quantity, lines, label)
        yield Picture(f"growth_{quantity}", title, verdict(quantity, lines), draw)


def growth_rows(records: Records) -> list[list[str]]:
    """Every point, as the page's table has it; ``GROWTH_HEADINGS`` are its headings."""
    return [
        [
            _TITLES[quantity][1], line.name, f"{point.at:,.0f}", f"{point.step_ms.value:.3g}",
            _span(point.step_ms.low, point.step_ms.high),
            f"{point.allowed_ms:.3g}", f"{point.step_ms.value / point.allowed_ms:.2f}"
            if point.allowed_ms else "\N{EN DASH}",
        ]
        for quantity, lines in curves(records).items()
        for line in lines
        for point in line.points
    ]  # fmt: skip


GROWTH_HEADINGS = (
    "with", "of", "at", "a step (ms)", "95 % interval (ms)", "allowed (ms)", "step / allowed",
)  # fmt: skip


def _draw(quantity: str, lines: Sequence[Curve], label: str, axes: Axes) -> None:
    for index, line in enumerate(lines):
        places = [point.at for point in line.points]
        values = [point.step_ms.value for point in line.points]
        look = style(index)
        axes.errorbar(places, values, yerr=_errors(line), capsize=3, label=line.name, **look)
        axes.plot(
            places, [point.allowed_ms for point in line.points], linestyle="--",
            color=look["color"], label=f"{line.name}: the least this machine allows",
        )  # fmt: skip
        alone = [point.alone_ms for point in line.points]
        if quantity == "members" and all(map(math.isfinite, alone)):
            axes.plot(
                places, alone, linestyle=":", color="black",
                label="the members alone, one after the other",
            )  # fmt: skip
    if quantity in _LOGARITHMIC:
        axes.set_xscale("log", base=2)
    if quantity in _TIMES_TOO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    places = sorted({point.at for line in lines for point in line.points})
    _ticks(axes, places)
    axes.set_xlabel(label)
    axes.set_ylabel("ms for a step")
    legend_below(axes, columns=1)


def _ticks(axes: Axes, places: Sequence[float]) -> None:
    """At what was measured; of places that lie side by side the last, so that labels stay apart."""
    logarithmic = axes.get_xscale() == "log"
    kept: list[float] = []
    for place in places:
        if kept and logarithmic and place < 1.3 * kept[-1]:
            kept.pop()
        kept.append(place)
    axes.set_xticks(kept, [_short(place) for place in kept])
    axes.minorticks_off()


def _short(place: float) -> str:
    if place < 10 * _DECIMALS:
        return f"{place:,.0f}"
    return f"{place / _DECIMALS:.0f}k"


def _errors(line: Curve) -> list[list[float]]:
    low = [_finite(point.step_ms.value - point.step_ms.low) for point in line.points]
    high = [_finite(point.step_ms.high - point.step_ms.value) for point in line.points]
    return [low, high]


def _finite(value: float) -> float:
    return max(0.0, value) if math.isfinite(value) else 0.0


def _span(low: float, high: float) -> str:
    known = math.isfinite(low) and math.isfinite(high)
    return f"{low:.3g} to {high:.3g}" if known else "\N{EN DASH}"
