"""How the models of a server look: a table on a terminal, plain text in a pipe, or JSON lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from rich.table import Table
from rich.text import Text

from quorate.cli.events import event_line
from quorate.cli.messages import enum_name
from quorate.cli.notes import note
from quorate.cli.views.formatting import plain_table
from quorate.cli.views.json_lines import message_fields
from quorate.cli.views.terminal import Console
from quorate.foreign_text import one_line
from quorate.v1 import models_pb2
from quorate_registry.sizes import human_size

_HEADINGS = ["model", "state", "engine", "context", "sessions", "cores", "memory"]
_LEFT = (0, 1, 2)
_NOTHING = "-"
_STYLES = {
    models_pb2.MODEL_STATE_READY: "green",
    models_pb2.MODEL_STATE_FAILED: "red",
    models_pb2.MODEL_STATE_RESTARTING: "yellow",
}
_LINE_SECONDS = 5.0


def print_models(models: Sequence[models_pb2.Model], *, hidden: int, as_json: bool) -> None:
    """Prints a row for each model; ``hidden`` ones are counted."""
    if as_json:
        for model in models:
            print(model_line(model))
    elif sys.stdout.isatty():
        _print_to_terminal(models, hidden, Console(highlight=False, emoji=False))
    else:
        if models:
            print(plain_table([_HEADINGS, *map(_row, models)], _LEFT))
        for line in _notes(models, hidden):
            print(line)
    sys.stdout.flush()


def print_model(model: models_pb2.Model, *, as_json: bool) -> None:
    """Prints one line for what has become of a model."""
    print(model_line(model) if as_json else one_line(model_words(model)), flush=True)


def model_line(model: models_pb2.Model) -> str:
    """A model as one line of JSON."""
    return event_line("model", message_fields(model))


def model_words(model: models_pb2.Model) -> str:
    """Id, state, and what there is to say of it."""
    words = f"{model.id}: {_state(model)}"
    if model.HasField("progress") and 0 < model.progress < 1:
        words += f" {model.progress:.0%}"
    if model.message:
        words += f": {model.message}"
    return words


def models_table(models: Sequence[models_pb2.Model]) -> Table:
    """A row for each model, its state in colour."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(_HEADINGS):
        if index in _LEFT:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for model in models:
        style = _STYLES.get(model.state, "")
        cells = [Text(cell, style=style if at == 1 else "") for at, cell in enumerate(_row(model))]
        table.add_row(*cells)
    return table


def _print_to_terminal(models: Sequence[models_pb2.Model], hidden: int, console: Console) -> None:
    if models:
        console.print(models_table(models))
    for line in _notes(models, hidden):
        console.print(line, style="dim", markup=False)


def _row(model: models_pb2.Model) -> list[str]:
    return [
        one_line(model.id),
        _state(model),
        one_line(model.engine),
        f"{model.context_length:,}" if model.context_length else _NOTHING,
        str(model.sessions or _NOTHING),
        str(len(model.cores) or _NOTHING),
        human_size(model.memory_bytes) if model.memory_bytes else _NOTHING,
    ]


def _notes(models: Sequence[models_pb2.Model], hidden: int) -> Iterator[str]:
    """What the models have to say, and how many are not shown."""
    for model in models:
        if model.message:
            yield one_line(f"{model.id}: {model.message}")
    if not models:
        yield "no model is loaded"
    if hidden:
        yield f"{hidden} not loaded; see them with --all"


def _state(model: models_pb2.Model) -> str:
    return enum_name(models_pb2.ModelState.DESCRIPTOR, model.state)


class LineView:
    """Lines on standard error: each new state on the way, and now and then how far it is."""

    def __init__(self) -> None:
        self._state = -1
        self._told_at = 0.0

    def show(self, model: models_pb2.Model) -> None:
        """Prints a state that is new, or that is some seconds old."""
        now = time.monotonic()
        if model.state == self._state and now - self._told_at < _LINE_SECONDS:
            return
        if model.state not in _RESTING:
            note(model_words(model))
        self._state, self._told_at = model.state, now


class SpinnerView:
    """One line on a terminal's standard error that leaves nothing behind."""

    def __init__(self, console: Console) -> None:
        self._status = console.status("asking …")
        self._status.start()

    def show(self, model: models_pb2.Model) -> None:
        """Shows the state of now."""
        self._status.update(Text(one_line(model_words(model))))

    def close(self) -> None:
        """Removes the line."""
        self._status.stop()


class JsonEvents:
    """Every change as a line of JSON on standard output."""

    def show(self, model: models_pb2.Model) -> None:
        """Prints a line, but for the last state, which is printed at the end."""
        if model.state not in _RESTING:
            print(model_line(model), flush=True)


WaitingView: TypeAlias = LineView | SpinnerView | JsonEvents
"""Shows how a model changes."""

_RESTING = (
    models_pb2.MODEL_STATE_READY,
    models_pb2.MODEL_STATE_UNLOADED,
    models_pb2.MODEL_STATE_FAILED,
)


@contextmanager
def waiting_view(as_json: bool) -> Iterator[WaitingView]:
    """The view that fits what was asked for and where standard error goes."""
    if as_json:
        yield JsonEvents()
    elif not sys.stderr.isatty():
        yield LineView()
    else:
        view = SpinnerView(Console(stderr=True, highlight=False, emoji=False))
        try:
            yield view
        finally:
            view.close()
