"""How loading looks: bars on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from quorate.engines.status import ModelState, ModelStatus

_BUSY = (ModelState.DOWNLOADING, ModelState.LOADING, ModelState.RESTARTING)


class LoadView(Protocol):
    """Shows what becomes of a service and its models."""

    def listening(self, address: str, models: Sequence[str]) -> None:
        """The service listens."""
        ...

    def show(self, status: ModelStatus) -> None:
        """A model is in this state; the same may be told again."""
        ...


@contextmanager
def load_view(as_json: bool) -> Iterator[LoadView]:
    """The view that fits where standard output goes."""
    if as_json:
        yield JsonView()
    elif sys.stdout.isatty():
        from quorate.cli.load_bars import BarView

        with BarView() as view:
            yield view
    else:
        yield PlainView()


class JsonView:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}

    def listening(self, address: str, models: Sequence[str]) -> None:
        """Prints the address."""
        _print(json.dumps({"event": "listening", "address": address}))

    def show(self, status: ModelStatus) -> None:
        """Prints a state that is new."""
        fields = {
            "event": "model",
            "model": status.id,
            "state": status.state.value,
            "message": status.message,
            "progress": status.progress,
        }
        if self._told.get(status.id) == fields:
            return
        self._told[status.id] = fields
        _print(json.dumps(fields))


class PlainView:
    """One line for each change of a state; progress is left out."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def listening(self, address: str, models: Sequence[str]) -> None:
        """Prints the address and the models."""
        _print(listening_line(address, models))

    def show(self, status: ModelStatus) -> None:
        """Prints a state that is new."""
        line = status_line(status)
        if self._told.get(status.id) == line:
            return
        self._told[status.id] = line
        _print(line)


def listening_line(address: str, models: Sequence[str]) -> str:
    """What is said when a service listens."""
    return f"listening on {address}, models: {', '.join(models) or 'none'}"


def status_line(status: ModelStatus) -> str:
    """A model's state for people, without its progress."""
    line = f"{status.id}: {status.state.value}"
    if status.message:
        return f"{line}: {status.message}"
    if status.state is ModelState.READY and status.context_length:
        return f"{line}, context {status.context_length}, {status.description or status.engine}"
    return line


def is_busy(status: ModelStatus) -> bool:
    """Whether a model is on its way to being ready."""
    return status.state in _BUSY


def _print(line: str) -> None:
    print(line, flush=True)
