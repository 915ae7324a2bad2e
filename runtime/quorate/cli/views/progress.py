"""How far a long command is: a bar on a terminal, lines in a pipe; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from quorate.cli.notes import note

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Progress: TypeAlias = Callable[[int, int], None]
"""Called with what is done and with all there is to do."""

_BAR_WIDTH = 24
_LINE_SECONDS = 5.0


@contextmanager
def answer_progress() -> Iterator[Progress]:
    """Shows how many answers there are: a bar that leaves nothing behind, or every tenth a line."""
    if not sys.stderr.isatty():
        yield every_percent(10, _print_answers)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn

    columns = BarColumn(bar_width=_BAR_WIDTH), MofNCompleteColumn(), TextColumn("answers")
    with _bar(SpinnerColumn(), *columns) as progress:
        yield progress


@contextmanager
def score_progress() -> Iterator[Progress]:
    """Shows how many bytes are scored: a bar that leaves nothing behind, or now and then a line."""
    if not sys.stderr.isatty():
        yield every_seconds(_LINE_SECONDS, _print_scored)
        return
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn

    columns = BarColumn(bar_width=_BAR_WIDTH), DownloadColumn()
    with _bar(SpinnerColumn(), *columns) as progress:
        yield progress


@contextmanager
def pull_progress(model: str) -> Iterator[Progress]:
    """Shows how many bytes of a model have arrived: a bar that stays, or every tenth a line."""
    if not sys.stderr.isatty():
        yield every_percent(10, lambda done, total: _print_bytes(model, done, total))
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

    columns = BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn()
    name = TextColumn("{task.fields[model]}", markup=False)
    with _bar(name, *columns, transient=False, model=model) as progress:
        yield progress


def every_percent(step: int, show: Progress) -> Progress:
    """Calls ``show`` whenever another ``step`` percent are done, and at the beginning."""
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        level = 100 * done // max(total, 1) // step
        if level != shown:
            shown = level
            show(done, total)

    return progress


def every_seconds(
    seconds: float, show: Progress, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Calls ``show`` whenever so many seconds have passed: what is quick is not told of at all."""
    shown_at = clock()

    def progress(done: int, total: int) -> None:
        nonlocal shown_at
        now = clock()
        if now - shown_at >= seconds:
            shown_at = now
            show(done, total)

    return progress


@contextmanager
def _bar(*columns: ProgressColumn, transient: bool = True, **fields: str) -> Iterator[Progress]:
    from rich.progress import Progress as Bars
    from rich.progress import TimeRemainingColumn

    from quorate.cli.views.terminal import Console

    left = TimeRemainingColumn(compact=True)
    console = Console(stderr=True)
    with Bars(*columns, left, console=console, transient=transient) as bars:
        task = bars.add_task("", total=None, **fields)  # type: ignore[arg-type]
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _print_answers(done: int, total: int) -> None:
    note(f"{done} of {total} answers")


def _print_scored(done: int, total: int) -> None:
    note(f"{done} of {total} bytes scored")


def _print_bytes(model: str, done: int, total: int) -> None:
    from quorate_registry.sizes import human_size

    percent = 100 * done // max(total, 1)
    note(f"{model}: {human_size(done)} of {human_size(total)}, {percent}%")
