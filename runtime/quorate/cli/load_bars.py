"""Progress bars of models that load, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

from quorate.cli.load_lines import is_busy, listening_line, status_line
from quorate.fleet.status import ModelState, ModelStatus

_STYLES = {ModelState.READY: "green", ModelState.FAILED: "red", ModelState.RESTARTING: "yellow"}


class LoadBars:
    """A bar for each model that is on its way; it vanishes when the model has arrived.

    Args:
        console: Where it shows.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes all bars."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        self._tasks.clear()

    def show(self, status: ModelStatus) -> None:
        """Moves a model's bar, or removes it."""
        if is_busy(status):
            self._move(status)
        else:
            self._remove(status.id)

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

    def _remove(self, model: str) -> None:
        task = self._tasks.pop(model, None)
        if task is None or self._bars is None:
            return
        self._bars.remove_task(task)
        if not self._tasks:
            self.close()


class BarView:
    """Bars for models that load, and a line for each that has come to something.

    Args:
        console: Where it shows.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = LoadBars(console)
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def listening(self, address: str, models: Sequence[str]) -> None:
        """Prints the address and the models."""
        self._console.print(listening_line(address, models), style="bold", markup=False)

    def show(self, status: ModelStatus) -> None:
        """Moves a model's bar, or ends it with a line."""
        self._bars.show(status)
        line = status_line(status)
        if is_busy(status) or status.state is ModelState.UNLOADED:
            return
        if self._told.get(status.id) == line:
            return
        self._told[status.id] = line
        self._console.print(line, style=_STYLES.get(status.state, ""), markup=False)


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}", markup=False, style="dim"),
        console=console,
        transient=True,
    )
