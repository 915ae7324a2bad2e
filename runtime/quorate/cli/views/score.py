"""How the scores of a text look: a table on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from quorate.amounts import joules_text
from quorate.cli.events import event_line
from quorate.cli.text_scores import ScoreLine, TextScores
from quorate.cli.views.decisions import manner
from quorate.cli.views.formatting import UNKNOWN, energy_text
from quorate.cli.views.formatting import plain_table as aligned
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line

_HEADINGS = ("name", "bits per byte", "bytes", "forwards per token", "dropped mass", "mean weight")
_SHORT_HEADINGS = ("name", "bits/byte", "bytes", "forwards/token", "dropped", "weight")
_ABSENT = "-"
# Less than half of the last digit that is shown.
_NOTHING = 5e-5


def print_scores(scores: TextScores, *, as_json: bool) -> None:
    """Prints a line for each member and one for the ensemble, and for people who is best."""
    lines = [*scores.members(), scores.ensemble()]
    if as_json:
        for line in lines:
            print(json_line(line))
    elif sys.stdout.isatty():
        console = Console(highlight=False, emoji=False)
        console.print(scores_table(lines))
        console.print()
        console.print(verdict(scores), style="bold", markup=False)
    else:
        print(plain_table(lines))
        print(verdict(scores))
    sys.stdout.flush()


def json_line(line: ScoreLine) -> str:
    """The keys that programs rely on; what is not finite is null."""
    return event_line(
        "score",
        {
            "name": line.name,
            "bits_per_byte": line.bits_per_byte,
            "bytes": line.bytes,
            "forwards_per_token": line.forwards_per_token,
            "dropped_mass": line.dropped_mass,
        },
    )


def plain_table(lines: Sequence[ScoreLine]) -> str:
    """The lines as aligned text without escape codes."""
    return aligned(
        [_with_energy(_SHORT_HEADINGS, lines), *(_row(line, lines) for line in lines)], left=(0,)
    )


def scores_table(lines: Sequence[ScoreLine]) -> Table:
    """The lines as a table, the best value highlighted; names are folded where it is narrow."""
    best = min(line.bits_per_byte for line in lines)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(_HEADINGS[0], overflow="fold", vertical="bottom")
    for heading in _with_energy(_HEADINGS, lines)[1:]:
        table.add_column(_over_two_lines(heading), justify="right", no_wrap=True)
    for line in lines:
        name, bits, *rest = _row(line, lines)
        style = "bold green" if line.bits_per_byte - best < _NOTHING else ""
        table.add_row(
            Text(name, style=style), Text(bits, style=style), *(Text(cell) for cell in rest)
        )
    return table


def verdict(scores: TextScores) -> str:
    """Whether the ensemble beats its best member and by how much, which plan ran, and its cost."""
    energy = scores.ensemble().energy
    told = [
        _comparison(scores.members(), scores.ensemble()),
        manner(scores.decision),
        *([] if energy is None else [energy_text(energy)]),
    ]
    return "; ".join(told)


def _comparison(members: Sequence[ScoreLine], ensemble: ScoreLine) -> str:
    whole = [line for line in members if line.bytes == ensemble.bytes]
    if not whole:
        return "no member scored the whole text"
    if len(members) == 1:
        return "one member alone: the ensemble is that member"
    best = min(whole, key=lambda line: line.bits_per_byte)
    name = one_line(best.name)
    if not math.isfinite(ensemble.bits_per_byte):
        return "the ensemble rules the text out"
    if not math.isfinite(best.bits_per_byte):
        return "the ensemble beats its members, which all rule the text out"
    gain = best.bits_per_byte - ensemble.bits_per_byte
    if abs(gain) < _NOTHING:
        return f"the ensemble is as good as its best member, {name}"
    by = f"{abs(gain):.4f} bits per byte"
    if best.bits_per_byte > 0:
        by = f"{100 * abs(gain) / best.bits_per_byte:.1f} % ({by})"
    if gain > 0:
        return f"the ensemble beats its best member, {name}, by {by}"
    return f"the ensemble loses to its best member, {name}, by {by}"


def _row(line: ScoreLine, lines: Sequence[ScoreLine]) -> tuple[str, ...]:
    """The cells of a line, with its energy where that of any line is known."""
    cells = (
        one_line(line.name),
        f"{line.bits_per_byte:.4f}",
        str(line.bytes),
        f"{line.forwards_per_token:.2f}",
        _ABSENT if line.dropped_mass is None else f"{line.dropped_mass:.1e}",
        _ABSENT if line.weight is None else f"{line.weight:.3f}",
    )
    if not _has_energy(lines):
        return cells
    return (*cells, UNKNOWN if line.energy is None else joules_text(line.energy.joules))


def _with_energy(headings: Sequence[str], lines: Sequence[ScoreLine]) -> tuple[str, ...]:
    return (*headings, "energy") if _has_energy(lines) else tuple(headings)


def _has_energy(lines: Sequence[ScoreLine]) -> bool:
    return any(line.energy is not None for line in lines)


def _over_two_lines(heading: str) -> str:
    first, space, last = heading.rpartition(" ")
    return f"{first}\n{last}" if space else f"\n{last}"
