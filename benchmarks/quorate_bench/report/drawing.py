"""What all figures have in common: sizes, colours, how they become SVG and PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDE, NARROW = (7.4, 3.9), (3.7, 3.9)
# Wong's palette, which people with any colour vision can tell apart (Nature Methods 8, 2011).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = "osD^vPX*"
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "path",
    "svg.hashsalt": "quorate",
}
_PNG_DPI = 160
# Characters of a line of a row's name, on wide and on narrow figures, and of a legend's.
_NAME_WIDTHS = 28, 16
_LEGEND_WIDTH = 44
# Of a bar chart: what is not rows, and each line of their names.
_HEAD_INCHES, _LINE_INCHES = 1.6, 0.14

Draw = Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure.

    Attributes:
        name: Of its file.
        title: What it shows.
        says: What can be read from it, in a sentence; also for those who do not see it.
        draw: Draws it.
        rows: Names of the rows of a bar chart, which make it as high as they need.
    """

    name: str
    title: str
    says: str
    draw: Draw
    rows: Sequence[str] = ()

    def size(self, base: tuple[float, float]) -> tuple[float, float]:
        """Width and height in inches; ``base`` is what few rows need."""
        width = _NAME_WIDTHS[base[0] < WIDE[0]]
        lines = max((len(_lines(name, width)) for name in self.rows), default=0)
        return base[0], max(base[1], _HEAD_INCHES + _LINE_INCHES * (1 + lines) * len(self.rows))


def svg(picture: Picture, size: tuple[float, float]) -> bytes:
    """As a drawing that scales; equal pictures give equal bytes."""
    return _drawn(picture, size, FigureCanvasSVG, "svg", metadata={"Date": None})


def png(picture: Picture) -> bytes:
    """As a bitmap."""
    return _drawn(picture, picture.size(WIDE), FigureCanvasAgg, "png", dpi=_PNG_DPI)


def legend_below(axes: Axes, columns: int = 2) -> None:
    """Names of the series, where they hide nothing."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        narrow = _is_narrow(axes)
        figure.legend(
            handles, [wrapped(label, _LEGEND_WIDTH) for label in labels],
            loc="outside lower center", ncols=1 if narrow else columns, frameon=False, fontsize=8,
        )  # fmt: skip


def style(index: int) -> dict[str, Any]:
    """Colour and marker of a series; one that is told by neither alone."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def names_at(axes: Axes, names: Sequence[str]) -> None:
    """Names of the rows of a bar chart, from below; long ones on several lines."""
    width = _NAME_WIDTHS[_is_narrow(axes)]
    axes.set_yticks(range(len(names)), [wrapped(name, width) for name in names])


def wrapped(name: str, width: int) -> str:
    """A name on lines of so many characters, cut where its words and their parts end."""
    return "\n".join(_lines(name, width))


def _lines(name: str, width: int) -> list[str]:
    return textwrap.wrap(name, width) or [name]


def _is_narrow(axes: Axes) -> bool:
    figure = axes.get_figure(root=True)
    return figure is not None and float(figure.get_size_inches()[0]) < WIDE[0]


def ticks_at(axes: Axes, values: Sequence[float]) -> None:
    """Marks on the x axis where something was measured, and nowhere else."""
    axes.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])
    axes.minorticks_off()


def _drawn(
    picture: Picture, size: tuple[float, float], canvas: Any, form: str, **options: Any
) -> bytes:
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        canvas(figure)
        picture.draw(figure.add_subplot())
        content = io.BytesIO()
        figure.savefig(content, format=form, **options)
    return content.getvalue()
