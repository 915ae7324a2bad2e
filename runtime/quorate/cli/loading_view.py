"""How the loading of models is shown: bars on a terminal, plain lines in a pipe, JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from quorate.cli.json_lines import print_json

if TYPE_CHECKING:
    from quorate.engines.status import ModelStatus

Show: TypeAlias = "Callable[[ModelStatus], None]"

_PROGRESS_STEPS = 10
_WORK_STATES = ("downloading", "loading", "restarting", "unloading")


def status_line(status: ModelStatus) -> str:
    """One line for people."""
    state = status.state.value
    if status.state.value == "failed":
        return f"{status.id}: failed: {status.message.removeprefix(f'{status.id}: ')}"
    if status.state.value == "ready":
        cores = ", ".join(map(str, status.cores))
        facts = [
            status.description,
            f"context {status.context_length}" if status.context_length else "",
            f"cores {cores}" if cores else "",
        ]
        return f"{status.id}: ready ({'; '.join(fact for fact in facts if fact)})"
    percent = "" if status.progress is None else f" {status.progress:.0%}"
    return f"{status.id}: {state}{percent}{f', {status.message}' if status.message else ''}"


def status_fields(status: ModelStatus) -> dict[str, Any]:
    """One JSON line."""
    return {
        "event": "model",
        "id": status.id,
        "state": status.state.value,
        "message": status.message,
        "progress": status.progress,
        "engine": status.engine,
        "description": status.description,
        "context_length": status.context_length,
        "vocabulary_size": status.vocabulary_size,
        "chat": status.chat,
        "cores": list(status.cores),
    }


def lines(write: Callable[[str], None]) -> Show:
    """Writes a line for each change of state, and for every tenth of a download."""
    return _each_change(lambda status: write(status_line(status)))


def json_lines() -> Show:
    """Prints a JSON line where ``lines`` writes a plain one."""
    return _each_change(lambda status: print_json(status_fields(status)))


@contextmanager
def bars() -> Iterator[Show]:
    """A bar on standard error for each model that is not ready yet; nothing is left at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[doing]}", style="dim", markup=False),
    )
    progress = Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        # What goes to a pipe must not be diverted to the terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
    tasks: dict[str, TaskID] = {}

    def show(status: ModelStatus) -> None:
        if status.state.value not in _WORK_STATES:
            if status.id in tasks:
                progress.remove_task(tasks.pop(status.id))
            return
        if status.id not in tasks:
            tasks[status.id] = progress.add_task("", total=None, model=status.id, doing="")
        doing = status.message or status.state.value
        known = status.progress is not None
        progress.update(
            tasks[status.id],
            total=1.0 if known else None,
            completed=status.progress or 0.0,
            doing=doing,
        )

    with progress:
        yield show


def _each_change(tell: Show) -> Show:
    told: dict[str, tuple[object, ...]] = {}

    def show(status: ModelStatus) -> None:
        tenths = int((status.progress or 0.0) * _PROGRESS_STEPS)
        step = tenths if status.state.value == "downloading" else 0
        key = (status.state, status.message, step)
        if status.state.value != "unloaded" and told.get(status.id) != key:
            tell(status)
        told[status.id] = key

    return show
