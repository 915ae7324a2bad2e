"""The page of two runs that are held against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes

from quorate_bench.cases import Case
from quorate_bench.compare import QUANTITIES, Compared, other_files
from quorate_bench.records import Records
from quorate_bench.report.drawing import COLOURS, Picture, names_at
from quorate_bench.report.markup import about, document, figure, number, table, text

_MARKED = {"less": COLOURS[2], "more": COLOURS[1], "no difference": COLOURS[7]}


def comparison_page(found: Sequence[Compared], first: Records, second: Records) -> str:
    """Ratios of a second run to a first as HTML; ``found`` is what ``compare`` says of them."""
    return document(
        f"Quorate bench “{first.run['sweep']['name']}”: a second run against a first",
        [
            "<h2>First</h2>",
            *about(first),
            "<h2>Second</h2>",
            *about(second),
            *(
                f'<p class="warning">Model {text(name)} is not the same file in both.</p>'
                for name in other_files(first, second)
            ),
            *_figures(found),
            *_table(found),
        ],
    )


def _figures(found: Sequence[Compared]) -> Iterator[str]:
    if not found:
        yield "<p>No case was measured in both.</p>"
    for quantity, words in QUANTITIES.items():
        of_it = [one for one in found if one.quantity == quantity]
        if not of_it:
            continue
        names = [_name(one.case) for one in of_it]
        counts = {word: sum(one.verdict == word for one in of_it) for word in _MARKED}
        says = (
            f"Of {len(of_it)} cases the second run surely takes less in {counts['less']} and more "
            f"in {counts['more']}; of the others no difference is sure."
        )
        title = f"{words[:1].upper()}{words[1:]}, second / first"
        yield figure(Picture(quantity, title, says, partial(_draw, of_it), names))


def _draw(found: Sequence[Compared], axes: Axes) -> None:
    for index, one in enumerate(reversed(found)):
        ratio, colour = one.ratio, _MARKED[one.verdict]
        axes.plot([ratio.low, ratio.high], [index] * 2, color=colour, lw=2)
        axes.plot(ratio.value, index, "o", color=colour, markersize=5)
    axes.axvline(1, color="black", lw=0.8)
    names_at(axes, [_name(one.case) for one in reversed(found)])
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("second / first (x)\nwith 95 % interval; less is better")
    axes.grid(axis="y", visible=False)


def _name(case: Case) -> str:
    setting = case.setting
    cores = f"{setting.cores} cores, " if setting.cores else ""
    kind = f"{setting.quantisation}, " if setting.quantisation else ""
    return f"{case.plan}: {kind}{cores}{case.concurrency} at once, prompt {case.prompt_tokens}"


def _table(found: Sequence[Compared]) -> Iterator[str]:
    if not found:
        return
    yield "<h2>All cases</h2>"
    headings = (
        "plan", "cores", "answers at once", "prompt (tokens)", "answer (tokens)",
        "context (tokens)", "type", "what", "second / first (x)", "verdict",
    )  # fmt: skip
    rows = [
        [
            one.case.plan,
            str(one.case.setting.cores or "all"),
            str(one.case.concurrency),
            str(one.case.prompt_tokens),
            str(one.case.answer_tokens),
            str(one.case.setting.context_length),
            one.case.setting.quantisation or "as it is",
            QUANTITIES[one.quantity],
            number(one.ratio, 3),
            one.verdict,
        ]
        for one in found
    ]
    yield table(headings, rows)
