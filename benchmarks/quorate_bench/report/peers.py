"""The figures of a run that holds Quorate against other programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from quorate_bench.peers.ratios import Row, rows, verdict
from quorate_bench.records import Records
from quorate_bench.report.drawing import COLOURS, Picture, names_at

PEER_HEADINGS = (
    "program", "weights", "answers at once", "first token (ms)", "per token (ms)",
    "all together (tokens/s)", "Quorate's time / its time", "command", "version",
)  # fmt: skip
_OURS, _OTHERS = COLOURS[0], COLOURS[4]


def peer_pictures(records: Records) -> Iterator[Picture]:
    """Time per token of one answer, and tokens per second of several."""
    found = rows(records)
    alone = [one for one in found if one.summary.case.concurrency == 1]
    if alone:
        draw = partial(_draw_times, alone)
        names = [_label(one) for one in alone]
        title = "One answer at a time"
        yield Picture("peers_time_per_token", title, verdict(found), draw, names)
    for streams in records.run["sweep"]["axes"]["concurrency"]:
        together = [one for one in found if one.summary.case.concurrency == streams > 1]
        if together:
            best = max(together, key=lambda one: one.summary.tokens_per_second.value)
            says = (
                f"{_label(best)} is the fastest with {streams} answers at once, with "
                f"{best.summary.tokens_per_second.value:.0f} tokens per second."
            )
            name = f"peers_at_once_{streams}"
            title = f"{streams} answers at once"
            draw = partial(_draw_throughput, together)
            yield Picture(name, title, says, draw, [_label(one) for one in together])


def peer_rows(records: Records) -> list[list[str]]:
    """Every program, as the page's table has it; ``PEER_HEADINGS`` are its headings."""
    return [
        [
            one.side["name"],
            one.side["quantisation"] or "as the file is",
            str(one.summary.case.concurrency),
            f"{one.summary.first_ms.value:.3g}",
            f"{one.summary.token_ms.value:.3g}",
            f"{one.summary.tokens_per_second.value:.3g}",
            _ratio(one),
            one.side["command"],
            one.side["version"],
        ]
        for one in rows(records)
    ]


def _draw_times(found: Sequence[Row], axes: Axes) -> None:
    values = [one.summary.token_ms for one in found]
    errors = [[_finite(one.value - one.low), _finite(one.high - one.value)] for one in values]
    _bars(found, [one.value for one in values], errors, axes)
    axes.set_xlabel("ms per token (with 95 % interval)")


def _draw_throughput(found: Sequence[Row], axes: Axes) -> None:
    values = [one.summary.tokens_per_second for one in found]
    errors = [[_finite(one.value - one.low), _finite(one.high - one.value)] for one in values]
    _bars(found, [one.value for one in values], errors, axes)
    axes.set_xlabel("tokens per second, prompts included")


def _bars(
    found: Sequence[Row], values: Sequence[float], errors: Sequence[Sequence[float]], axes: Axes
) -> None:
    for index, (one, value, error) in enumerate(zip(found, values, errors, strict=True)):
        place = len(found) - 1 - index
        colour = _OTHERS if one.side["against"] else _OURS
        axes.barh(place, value, color=colour, height=0.6)
        axes.errorbar(value, place, xerr=[[error[0]], [error[1]]], color="black", capsize=3)
        axes.annotate(
            f" {value:.3g}", (value + error[1], place), va="center", fontsize=8,
            xytext=(3, 0), textcoords="offset points",
        )  # fmt: skip
    names_at(axes, [_label(one) for one in reversed(found)])
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    axes.grid(axis="y", visible=False)


def _label(one: Row) -> str:
    kind = one.side["quantisation"]
    return f"{one.side['name']} ({kind})" if kind else one.side["name"]


def _ratio(one: Row) -> str:
    ratio = one.ratio
    if ratio is None:
        return "\N{EN DASH}"
    if not math.isfinite(ratio.low):
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _finite(value: float) -> float:
    return max(0.0, value) if math.isfinite(value) else 0.0
