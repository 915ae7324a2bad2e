"""The figures of a run, of those for which it has measured something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from quorate.calibration.intervals import Interval
from quorate_bench.cases import Case
from quorate_bench.growth.plans import ABOUT as GROWTH
from quorate_bench.peers.running import ABOUT as PEERS
from quorate_bench.records import Records
from quorate_bench.report.drawing import COLOURS, Picture, legend_below, names_at, style, ticks_at
from quorate_bench.report.fronts import front
from quorate_bench.report.growth import growth_pictures
from quorate_bench.report.peers import peer_pictures
from quorate_bench.report.roofline import Bound, bounds
from quorate_bench.summary import Summary, base_cases

PART_WORDS = {
    "decode": "decode (models compute)",
    "exchange": "exchange (rows and tokens on their way)",
    "turns": "turns (of other answers)",
    "combine": "combine (weights, mixture)",
    "sample": "sample (choose, plan guesses)",
    "stream": "stream (to the reader)",
}
"""What a part of a token's time is called."""

_Value = Callable[[Summary], float | None]
_Measured = Callable[[Summary], float]
_Lines = list[tuple[str, list[tuple[int, float]]]]


def pictures(records: Records, found: Sequence[Summary]) -> list[Picture]:
    """In the order of the page; ``found`` is what ``summaries`` makes of the records."""
    about = records.run["sweep"].get("about")
    if about == PEERS:
        return list(peer_pictures(records))
    if about == GROWTH:
        return list(growth_pictures(records))
    base = base_cases(found)
    if not base:
        return []
    return [
        _times(base),
        *_fronts(base),
        *_scaling(found, base[0].case),
        *_parts(base),
        *_roofline(bounds(records, base)),
    ]


def _times(base: Sequence[Summary]) -> Picture:
    fastest = min(base, key=lambda one: one.token_ms.value)

    def draw(axes: Axes) -> None:
        for index, one in enumerate(reversed(base)):
            p50, p90, p99 = one.token_percentiles
            value = one.token_ms
            axes.barh(index, value.value, color="#0072B2", height=0.55)
            axes.errorbar(value.value, index, xerr=_error(value), color="black", capsize=3)
            axes.plot([p50, p90, p99], [index] * 3, "|", color="#D55E00", markersize=12)
        names_at(axes, [one.case.plan for one in reversed(base)])
        axes.set_xlabel("ms per token\n(with 95 % interval;\nmarks: p50, p90, p99)")
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)

    says = f"{fastest.case.plan} is the fastest with {fastest.token_ms.value:.3g} ms per token."
    return Picture("time_per_token", "Time per token of every plan", says, draw, _plans(base))


def _tiers(base: Sequence[Summary]) -> str:
    words = {"estimated": "modelled"}
    return " or ".join(sorted({words.get(one.tier, one.tier) for one in base}))


def _fronts(base: Sequence[Summary]) -> Iterator[Picture]:
    speed = _Axis("ms per token", lambda one: one.token_ms.value)
    energy = _Axis(
        f"joules per token ({_tiers(base)})",
        lambda one: None if one.joules_per_token is None else one.joules_per_token.value,
    )
    bits = _Axis("bits per byte (less is better)", lambda one: one.bits_per_byte)
    wrong = _Axis("share of wrong answers", lambda one: _wrong(one.accuracy))
    for name, title, across, up in (
        ("time_and_energy", "Time against energy", speed, energy),
        ("time_and_quality", "Time against how well text is predicted", speed, bits),
        ("energy_and_quality", "Energy against how well text is predicted", energy, bits),
        ("time_and_accuracy", "Time against wrong answers", speed, wrong),
    ):
        points = [
            (index, one.case.plan, x, y)
            for index, one in enumerate(base)
            if (x := across.value(one)) is not None and (y := up.value(one)) is not None
        ]
        if len(points) > 1:
            best = front([(x, y) for _, _, x, y in points])
            names = [points[k][1] for k in best]
            says = f"No plan is better in both than {_listed(names)}."
            yield Picture(name, title, says, partial(_draw_front, points, best, across, up))


def _draw_front(
    points: Sequence[tuple[int, str, float, float]],
    best: Sequence[int],
    across: _Axis,
    up: _Axis,
    axes: Axes,
) -> None:
    line = [points[k][2:] for k in best]
    axes.step([x for x, _ in line], [y for _, y in line], where="post", color="#7F7F7F", lw=1)
    for index, name, x, y in points:
        axes.plot(x, y, linestyle="", markersize=8, label=name, **style(index))
    axes.set_xlabel(across.label)
    axes.set_ylabel(up.label)
    axes.margins(0.12)
    legend_below(axes)


def _scaling(found: Sequence[Summary], base: Case) -> Iterator[Picture]:
    for name, axis, title, label, value, unit, logarithmic in (
        ("concurrency", "concurrency", "Answers at once", "answers at once",
         lambda one: one.tokens_per_second.value, "tokens per second of all together", True),
        ("cores", "cores", "Cores", "cores of the server",
         lambda one: one.tokens_per_second.value, "tokens per second", False),
        ("prompt_length", "prompt_tokens", "Length of the prompt", "tokens of the prompt",
         lambda one: one.first_ms.value, "ms to the first token", True),
        ("answer_length", "answer_tokens", "Length of the answer", "tokens of the answer",
         lambda one: one.token_ms.value, "ms per token", True),
        ("context", "context_length", "Context", "tokens a session can hold",
         lambda one: one.token_ms.value, "ms per token", True),
    ):  # fmt: skip
        lines = _lines(found, base, axis, value)
        values = sorted({x for _, points in lines for x, _ in points})
        if len(values) > 1:
            draw = partial(_draw_lines, lines, values, label, unit, logarithmic)
            yield Picture(name, title, _growth(lines, label, unit), draw)


def _lines(found: Sequence[Summary], base: Case, axis: str, value: _Measured) -> _Lines:
    """Points of each plan that differ from the base on this axis alone."""
    series: dict[str, list[tuple[int, float]]] = {}
    fixed = {key: at for key, at in base.told().items() if key not in (axis, "plan")}
    for one in found:
        told = one.case.told()
        if all(told[key] == at for key, at in fixed.items()):
            series.setdefault(one.case.plan, []).append((told[axis], value(one)))
    return [(plan, sorted(points)) for plan, points in series.items()]


def _draw_lines(
    lines: _Lines,
    values: Sequence[float],
    label: str,
    unit: str,
    logarithmic: bool,
    axes: Axes,
) -> None:
    for index, (plan, points) in enumerate(lines):
        axes.plot([x for x, _ in points], [y for _, y in points], label=plan, **style(index))
    if logarithmic:
        axes.set_xscale("log", base=2)
    ticks_at(axes, values)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel(unit)
    legend_below(axes)


def _growth(lines: _Lines, label: str, unit: str) -> str:
    plan, points = max(lines, key=lambda one: len(one[1]))
    (first, before), (last, after) = points[0], points[-1]
    return (
        f"{plan}: from {first} to {last} {label}, {unit} go from {_plain(before)} to "
        f"{_plain(after)} ({after / before:.2f}x)."
    )


def _parts(base: Sequence[Summary]) -> Iterator[Picture]:
    told = [one for one in base if sum(one.parts_ms.values())]
    if not told:
        return

    def draw(axes: Axes) -> None:
        rows = range(len(told))
        left = [0.0] * len(told)
        for index, part in enumerate(told[0].parts_ms):
            shares = [100 * _share(one, part) for one in reversed(told)]
            axes.barh(
                rows, shares, left=left, color=COLOURS[index], height=0.55, label=PART_WORDS[part]
            )
            left = [a + b for a, b in zip(left, shares, strict=True)]
        names_at(axes, [one.case.plan for one in reversed(told)])
        axes.set_xlabel("% of the time of a token")
        axes.set_xlim(0, 100)
        axes.grid(axis="y", visible=False)
        legend_below(axes)

    least = min(told, key=lambda one: _share(one, "decode"))
    others = [part for part in least.parts_ms if part != "decode"]
    next_to_it = max(others, key=lambda part: least.parts_ms[part])
    says = (
        f"What is not computing by models takes at most {1 - _share(least, 'decode'):.0%}, of "
        f"{least.case.plan}: {sum(least.parts_ms[part] for part in others):.3g} ms of "
        f"{sum(least.parts_ms.values()):.3g}, most of it {PART_WORDS[next_to_it]}."
    )
    yield Picture("where_the_time_goes", "Where the time of a token goes", says, draw, _plans(told))


def _plans(base: Sequence[Summary]) -> list[str]:
    return [one.case.plan for one in base]


def _share(one: Summary, part: str) -> float:
    return one.parts_ms[part] / sum(one.parts_ms.values())


def _roofline(found: Sequence[Bound]) -> Iterator[Picture]:
    if not found:
        return

    def draw(axes: Axes) -> None:
        for index, one in enumerate(reversed(found)):
            axes.barh(index, one.measured, color="#0072B2", height=0.55)
            axes.plot([one.bound] * 2, [index - 0.4, index + 0.4], color="#D55E00", lw=2)
        names_at(axes, [one.plan for one in reversed(found)])
        axes.set_xlabel("tokens per second\n(line: what reading memory allows)")
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)

    best = max(found, key=lambda one: one.measured / one.bound)
    says = (
        f"{best.plan} reaches {best.measured / best.bound:.0%} of the tokens that this memory "
        "could deliver the weights for; a plan with drafts reads them once for several tokens and "
        "may pass it."
    )
    names = [one.plan for one in found]
    yield Picture("roofline", "Against what the memory allows", says, draw, names)


class _Axis:
    def __init__(self, label: str, value: _Value) -> None:
        self.label = label
        self.value = value


def _wrong(accuracy: float | None) -> float | None:
    return None if accuracy is None else 1 - accuracy


def _error(value: Interval) -> list[list[float]]:
    low = max(0.0, value.value - max(value.low, 0.0)) if value.low > float("-inf") else 0.0
    high = max(0.0, value.high - value.value) if value.high < float("inf") else 0.0
    return [[low], [high]]


def _plain(value: float) -> str:
    """Three digits, and no exponent where a person reads it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
