"""How spending looks: tables on a terminal, plain text in a pipe, CSV, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from quorate.amounts import joules_text, span_text, usd_text
from quorate.cli.events import print_event
from quorate.cli.spending import SpendQuery, SpendReport
from quorate.cli.views.formatting import bar, plain_table, tier_words
from quorate.cli.views.spend_rows import (
    ABOUT,
    charge_lines,
    charge_rows,
    columns_of,
    csv_lines,
    headings,
    joules_share,
    json_lines,
    row,
)
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line
from quorate.ledger import export
from quorate.request import EnergyTier
from quorate.v1 import accounting_pb2

_NOTHING = "nothing was spent"
_TOTAL = "total"
_CHARGE_NAMES = 4
_NARROWEST_NAME = 10
_ANY_WIDTH = 1000


def print_report(report: SpendReport, query: SpendQuery, *, as_csv: bool, as_json: bool) -> None:
    """Prints sums or charges, and for people what budgets have left."""
    if as_csv or as_json:
        if query.charges == 0:
            lines = csv_lines(report, query.group_by) if as_csv else json_lines(report)
        else:
            lines = export.csv_lines(report.charges) if as_csv else charge_lines(report.charges)
        sys.stdout.writelines(lines)
    elif sys.stdout.isatty():
        _print_to_terminal(report, query, Console(highlight=False, emoji=False))
    else:
        print("\n".join(_plain_lines(report, query)))
    sys.stdout.flush()


def print_backup(ledger: Path, copy: Path, size_bytes: int, *, as_json: bool) -> None:
    """Prints what was copied where."""
    if as_json:
        print_event("backup", {"ledger": str(ledger), "path": str(copy), "bytes": size_bytes})
    else:
        print(f"{ledger}: copied to {copy}, {size_bytes} bytes")


def _plain_lines(report: SpendReport, query: SpendQuery) -> Iterator[str]:
    names, *cells = _cells(report, query)
    if cells:
        yield plain_table([names, *cells], range(_left(query)))
    else:
        yield _NOTHING
    yield from _notes(report)


def _print_to_terminal(report: SpendReport, query: SpendQuery, console: Console) -> None:
    names, *cells = _cells(report, query)
    if not cells:
        console.print(_NOTHING, style="dim")
    elif query.charges != 0:
        console.print(_table(names, cells, _left(query)))
    else:
        shares = [joules_share(each, report.rows) for each in report.rows]
        with_bars = _table(names, cells, _left(query), shares)
        console.print(
            with_bars if _fits(with_bars, console) else _table(names, cells, _left(query))
        )
    lines = list(_notes(report))
    if lines:
        console.print()
    for line in lines:
        console.print(line, markup=False)


def _fits(table: Table, console: Console) -> bool:
    unbound = console.options.update(width=_ANY_WIDTH)
    return console.measure(table, options=unbound).maximum <= console.width


def _table(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    left: int,
    shares: Sequence[float | None] = (),
) -> Table:
    """A table; with shares it has a bar beside each row that has one."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(names):
        if index < left:
            widest = max(len(each[index]) for each in cells)
            table.add_column(name, overflow="fold", min_width=min(_NARROWEST_NAME, widest))
        else:
            table.add_column(name, justify="right", no_wrap=True)
    if shares:
        table.add_column("share of energy", no_wrap=True)
    for index, each in enumerate(cells):
        drawn = [Text(cell, style="bold" if each[0] == _TOTAL else "") for cell in each]
        share = shares[index] if index < len(shares) else None
        if share is not None:
            drawn.append(Text(f"{bar(share)} {share:.0%}", style="cyan"))
        table.add_row(*drawn)
    return table


def _cells(report: SpendReport, query: SpendQuery) -> list[list[str]]:
    """Headings, and a row for each charge, or for each group and for the total."""
    if query.charges != 0:
        return charge_rows(report.charges)
    columns = columns_of(report.rows)
    cells = [headings(query.group_by, columns)]
    cells += [row(each, query.group_by, columns) for each in report.rows]
    if report.total is not None and len(report.rows) > 1:
        blank = [""] * (len(query.group_by) - 1)
        cells.append([_TOTAL, *blank, *row(report.total, (), columns)])
    return cells


def _left(query: SpendQuery) -> int:
    """Columns that begin on the left: names, and not numbers."""
    return len(query.group_by) if query.charges == 0 else _CHARGE_NAMES


def _notes(report: SpendReport) -> Iterator[str]:
    if any(charge.tier is EnergyTier.ESTIMATED for charge in report.charges):
        yield ABOUT
    if report.machine is not None:
        yield from _machine_lines(report.machine)
    for line in _window_lines(report.windows):
        yield one_line(line)


def _window_lines(windows: Sequence[accounting_pb2.BudgetWindow]) -> Iterator[str]:
    """A line for each window: how full it is, what is spent and held, and when that ends."""
    width = max((len(window.name) for window in windows), default=0)
    for window in windows:
        words = usd_text if window.unit == accounting_pb2.BUDGET_UNIT_USD else joules_text
        taken = window.spent + window.held
        # A limit of 0 allows nothing, so that it is always reached.
        share = taken / window.limit if window.limit > 0 else 1.0
        held = f" + {words(window.held)} held" if window.held > 0 else ""
        line = (
            f"{window.name:<{width}}  {bar(share)}  "
            f"{words(window.spent)} spent{held} of {words(window.limit)}"
        )
        if window.HasField("resets_in_seconds"):
            line += f", all free in {span_text(window.resets_in_seconds)}"
        yield line


def _machine_lines(machine: accounting_pb2.MachineEnergy) -> Iterator[str]:
    """Where the machine's energy went since the server started; nothing where it is not known."""
    if not machine.HasField("counter_joules"):
        return
    parts = [
        f"{joules_text(getattr(machine, name))} {words}"
        for name, words in (
            ("request_joules", "for requests"),
            ("idle_joules", "idle"),
            ("unattributed_joules", "unattributed"),
        )
        if machine.HasField(name)
    ]
    total = " ".join([joules_text(machine.counter_joules), *tier_words(machine.tier)])
    yield f"machine since the server started: {total} = {' + '.join(parts)}"
