"""How far a calibration is: a bar on a terminal, a line at every tenth in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from quorate.cli.calibrate.asking import Progress

_PARTS = 10


@contextmanager
def answer_progress() -> Iterator[Progress]:
    """Shows on standard error how many answers there are; a bar leaves nothing behind."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("answers"),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _Lines:
    """One line whenever another tenth of the answers is there."""

    def __init__(self) -> None:
        self._told = -1

    def show(self, done: int, total: int) -> None:
        part = _PARTS * done // max(1, total)
        if part == self._told:
            return
        self._told = part
        print(f"{done} of {total} answers", file=sys.stderr, flush=True)
