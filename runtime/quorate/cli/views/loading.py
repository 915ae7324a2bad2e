"""How loading looks: bars on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from quorate.cli.events import event_line, print_event
from quorate.cli.notes import note
from quorate.fleet.status import ModelState, ModelStatus
from quorate.foreign_text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from quorate.cli.views.terminal import Console

# States of a model on its way to being ready.
_BUSY = (ModelState.DOWNLOADING, ModelState.LOADING, ModelState.RESTARTING)
_LINE_SECONDS = 5.0
_STYLES = {ModelState.READY: "green", ModelState.FAILED: "red", ModelState.RESTARTING: "yellow"}


@contextmanager
def serve_view(as_json: bool) -> Iterator[ServeView]:
    """The view of ``serve`` that fits where standard output goes."""
    if as_json:
        yield JsonView()
    elif sys.stdout.isatty():
        from quorate.cli.views.terminal import Console

        with BarView(Console(highlight=False, emoji=False)) as view:
            yield view
    else:
        yield PlainView()


@contextmanager
def passing_view() -> Iterator[StatusView]:
    """Bars on standard error that leave nothing behind; a few lines where it is no terminal."""
    if not sys.stderr.isatty():
        yield WaitingLines()
        return
    from quorate.cli.views.terminal import Console

    with LoadBars(Console(stderr=True, highlight=False, emoji=False)) as view:
        yield view


class WaitingLines:
    """Says on standard error which models are loaded, and what takes long; no word of one that has.

    Whoever waits in a pipe learns why; what is quick leaves one line for each model.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[ModelState, float]] = {}

    def show(self, status: ModelStatus) -> None:
        """Prints a state that is new on the way to ready, or that has lasted for a while."""
        # Before that nothing has been started, and its name may turn out to be wrong.
        starting = status.progress is not None or status.state is ModelState.DOWNLOADING
        if status.state not in _BUSY or not starting:
            return
        now = time.monotonic()
        state, told_at = self._told.get(status.id, (None, 0.0))
        if status.state is state and now - told_at < _LINE_SECONDS:
            return
        self._told[status.id] = status.state, now
        done = f" {status.progress:.0%}" if status.progress else ""
        line = f"{status.id}: {status.state.value}{done}"
        note(f"{line}: {status.message}" if status.message else line)


class PlainView:
    """One line for each change of a state; progress is left out."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def listening(self, address: str, models: Sequence[str], http: str = "") -> None:
        """Prints the addresses and the models."""
        print(listening_line(address, models, http), flush=True)

    def settled(self, ready: Sequence[str], failed: Sequence[str]) -> None:
        """Prints once that nothing of the start is left to wait for."""
        print(settled_line(ready, failed), flush=True)

    def show(self, status: ModelStatus) -> None:
        """Prints a state that is new."""
        line = self._line(status)
        if self._told.get(status.id) != line:
            self._told[status.id] = line
            print(line, flush=True)

    def _line(self, status: ModelStatus) -> str:
        return status_line(status)


class JsonView(PlainView):
    """One JSON object a line; progress is a change too."""

    def listening(self, address: str, models: Sequence[str], http: str = "") -> None:
        """Prints the addresses and the models."""
        print_event("listening", {"address": address, "http": http, "models": list(models)})

    def settled(self, ready: Sequence[str], failed: Sequence[str]) -> None:
        """Prints which models are ready, and which have failed."""
        print_event("ready", {"models": list(ready), "failed": list(failed)})

    def _line(self, status: ModelStatus) -> str:
        fields: dict[str, Any] = {
            "id": status.id,
            "state": status.state.value,
            "message": status.message,
            "progress": status.progress,
        }
        if status.warnings:
            fields["warnings"] = list(status.warnings)
        return event_line("model", fields)


def dropped_event(count: int) -> str:
    """What ``JsonView``'s reader is told of lines that it did not read in time."""
    return event_line("dropped", {"lines": count}) + "\n"


class LoadBars:
    """A bar for each model that is on its way; it vanishes when the model has arrived."""

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
        if status.state in _BUSY:
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


class BarView(LoadBars):
    """Bars for models that load, and a line for each that has come to something."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._told: dict[str, str] = {}

    def listening(self, address: str, models: Sequence[str], http: str = "") -> None:
        """Prints the addresses and the models."""
        self._console.print(listening_line(address, models, http), style="bold", markup=False)

    def settled(self, ready: Sequence[str], failed: Sequence[str]) -> None:
        """Prints once that nothing of the start is left to wait for."""
        self._console.print(settled_line(ready, failed), style="bold", markup=False)

    def show(self, status: ModelStatus) -> None:
        """Moves a model's bar, or ends it with a line."""
        super().show(status)
        line = status_line(status)
        if status.state in (*_BUSY, ModelState.UNLOADED) or self._told.get(status.id) == line:
            return
        self._told[status.id] = line
        self._console.print(line, style=_STYLES.get(status.state, ""), markup=False)


StatusView: TypeAlias = WaitingLines | LoadBars
"""Shows what becomes of models."""
ServeView: TypeAlias = PlainView | BarView
"""Shows what becomes of a service and its models."""


def listening_line(address: str, models: Sequence[str], http: str = "") -> str:
    """What is said when a service listens; ``http`` is where it does so for HTTP, if it does."""
    where = f"{address}, for HTTP on {http}" if http else address
    return f"listening on {where}, models: {', '.join(models) or 'none'}"


def settled_line(ready: Sequence[str], failed: Sequence[str]) -> str:
    """What is said when every model that is loaded at start has come to something."""
    line = f"serving {', '.join(ready) or 'no model'}"
    return f"{line}; failed: {', '.join(failed)}" if failed else line


def status_line(status: ModelStatus) -> str:
    """A model's state, without its progress."""
    return one_line(_status_line(status))


def _status_line(status: ModelStatus) -> str:
    line = f"{status.id}: {status.state.value}"
    if status.message and status.message != status.state.value:
        return f"{line}: {status.message}"
    if status.state is ModelState.READY and status.context_length:
        line = f"{line}, context {status.context_length}, {status.description or status.engine}"
        return "; warning: ".join((line, *status.warnings))
    return line


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}", markup=False, style="dim"),
        console=console,
        transient=True,
    )
