"""Progress bars of models that load, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

from quorate.cli.load_view import is_busy, listening_line, status_line
from quorate.engines.status import ModelState, ModelStatus

_STYLES = {ModelState.READY: "green", ModelState.FAILED: "red", ModelState.RESTARTING: "yellow"}


class BarView:
    """A bar for each model that loads, and a line for each that has come to something.

    Args:
        console: Where it shows; None takes standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def listening(self, address: str, models: Sequence[str]) -> None:
        """Prints the address and the models."""
        self._console.print(escape(listening_line(address, models)), style="bold")

    def show(self, status: ModelStatus) -> None:
        """Moves a model's bar, or ends it with a line."""
        if is_busy(status):
            self._move(status)
            return
        self._end(status.id)
        line = status_line(status)
        if status.state is ModelState.UNLOADED or self._told.get(status.id) == line:
            return
        self._told[status.id] = line
        self._console.print(escape(line), style=_STYLES.get(status.state, ""))

    def _move(self, status: ModelStatus) -> None:
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        if status.id not in self._tasks:
            self._tasks[status.id] = self._bars.add_task("", model=status.id, doing="", total=None)
        self._bars.update(
            self._tasks[status.id],
            doing=status.message or status.state.value,
            total=None if status.progress is None else 1.0,
            completed=status.progress or 0.0,
        )

    def _end(self, model: str) -> None:
        task = self._tasks.pop(model, None)
        if task is None or self._bars is None:
            return
        self._bars.remove_task(task)
        if not self._tasks:
            self._bars.stop()
            self._bars = None


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}", markup=False, style="dim"),
        console=console,
        transient=True,
    )
