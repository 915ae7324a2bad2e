"""How a routing decision looks: a table on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from rich.table import Table
from rich.text import Text

from quorate.amounts import joules_in, joules_unit, usd_text
from quorate.cli.events import event_line
from quorate.cli.views.decisions import (
    drafts_words,
    kind_name,
    members_words,
    over_budget_line,
    reasons,
    substitution_line,
    verdict,
)
from quorate.cli.views.formatting import plain_table, times_beside
from quorate.cli.views.json_lines import message_fields
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line
from quorate.v1 import plan_pb2

_Figure: TypeAlias = tuple[str, str, Callable[[float], str]]
"""What may be absent: field, heading, and how it is written."""

_ABSENT = "-"


def print_decision(decision: plan_pb2.Decision, *, as_json: bool) -> None:
    """Prints every plan that was considered, and what would run."""
    if as_json:
        for line in json_lines(decision):
            print(line)
    elif sys.stdout.isatty():
        _print_to_terminal(decision, Console(highlight=False, emoji=False))
    else:
        if decision.candidates:
            rows = [[*row, _why(each)] for row, each in _pairs(decision)]
            left = (0, 1, len(rows[0]) - 1)
            print(plain_table([[*_headings(decision), "verdict"], *rows], left))
        print("\n".join(closing_lines(decision)))
    sys.stdout.flush()


def json_lines(decision: plan_pb2.Decision) -> Iterator[str]:
    """An object for each candidate and a last one for the decision, its kind under ``event``."""
    for candidate in decision.candidates:
        yield event_line("candidate", message_fields(candidate))
    fields = message_fields(decision)
    del fields["candidates"]
    yield event_line("decision", fields)


def candidates_table(decision: plan_pb2.Decision) -> Table:
    """A row for each plan; figures that no plan has are left out, names are folded."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    name, kind, *figures = _headings(decision)
    table.add_column(name, overflow="fold", min_width=12)
    table.add_column(kind, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", vertical="top")
    table.add_column("verdict", min_width=10)
    for row, candidate in _pairs(decision):
        style = "bold green" if candidate.chosen else "dim" if candidate.rejections else ""
        table.add_row(*(Text(cell, style=style) for cell in (*row, verdict(candidate))))
    return table


def closing_lines(decision: plan_pb2.Decision) -> Iterator[str]:
    """What would run, why it was chosen, and what is over budget."""
    told = [f"would run: {members_words(decision)}"]
    if decision.profile:
        told.append(f"profile {decision.profile}")
    if decision.task:
        told.append(f"task {decision.task}")
    if decision.explored:
        told.append("chosen to learn what it costs")
    told += drafts_words(decision)
    yield one_line(" \N{MIDDLE DOT} ".join(told))
    line = substitution_line(decision, told=True) or over_budget_line(decision, told=True)
    if line:
        yield one_line(line)


def _print_to_terminal(decision: plan_pb2.Decision, console: Console) -> None:
    if decision.candidates:
        console.print(candidates_table(decision))
    against = [each for each in decision.candidates if each.rejections]
    if against:
        console.print("\nwhat speaks against them", style="bold")
    for candidate in against:
        line = f"  {one_line(candidate.name)}: {one_line(reasons(candidate))}"
        console.print(line, style="dim", markup=False)
    console.print()
    first, *rest = closing_lines(decision)
    console.print(first, style="bold", markup=False)
    for line in rest:
        console.print(line, style="yellow", markup=False)


def _pairs(decision: plan_pb2.Decision) -> list[tuple[list[str], plan_pb2.Candidate]]:
    figures = _known_figures(decision)
    return [(_cells(each, figures), each) for each in decision.candidates]


def _headings(decision: plan_pb2.Decision) -> list[str]:
    return ["plan", "kind", *(heading for _, heading, _ in _known_figures(decision))]


def _known_figures(decision: plan_pb2.Decision) -> list[_Figure]:
    candidates, times, joules = decision.candidates, _times(decision), _joules(decision)
    figures: tuple[_Figure, ...] = (
        ("time_ms", "time", times),
        ("time_q90_ms", "9 of 10", times),
        ("joules", "energy", joules),
        ("usd", "usd", usd_text),
        ("usd_ceiling", "usd at most", usd_text),
        ("quality", "quality", "{:.2f}".format),
        ("cost", "cost", "{:.3g}".format),
    )
    return [one for one in figures if any(each.HasField(one[0]) for each in candidates)]


def _times(decision: plan_pb2.Decision) -> Callable[[float], str]:
    """How times are written, so that they can be compared."""
    longest = max((max(each.time_ms, each.time_q90_ms) for each in decision.candidates), default=0)
    return times_beside(longest)


def _joules(decision: plan_pb2.Decision) -> Callable[[float], str]:
    """The same for energies."""
    most = max((each.joules for each in decision.candidates), default=0.0)
    return partial(joules_in, joules_unit(most))


def _cells(candidate: plan_pb2.Candidate, figures: Sequence[_Figure]) -> list[str]:
    known = [
        words(getattr(candidate, name)) if candidate.HasField(name) else _ABSENT
        for name, _, words in figures
    ]
    return [one_line(candidate.name), kind_name(candidate.kind), *known]


def _why(candidate: plan_pb2.Candidate) -> str:
    against = one_line(reasons(candidate))
    return f"{verdict(candidate)}: {against}" if against else verdict(candidate)
