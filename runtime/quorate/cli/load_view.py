"""How loading looks: bars on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from quorate.cli.load_lines import listening_line, status_line
from quorate.fleet.status import ModelStatus


class StatusView(Protocol):
    """Shows what becomes of models."""

    def show(self, status: ModelStatus) -> None:
        """A model is in this state; the same may be told again."""
        ...


class ServeView(StatusView, Protocol):
    """Shows what becomes of a service and its models."""

    def listening(self, address: str, models: Sequence[str]) -> None:
        """The service listens."""
        ...


@contextmanager
def serve_view(as_json: bool) -> Iterator[ServeView]:
    """The view of ``serve`` that fits where standard output goes."""
    if as_json:
        yield JsonView()
    elif sys.stdout.isatty():
        from rich.console import Console

        from quorate.cli.load_bars import BarView

        with BarView(Console(highlight=False)) as view:
            yield view
    else:
        yield PlainView()


@contextmanager
def passing_view() -> Iterator[StatusView]:
    """Bars on standard error that leave nothing behind; nothing at all where it is no terminal."""
    if not sys.stderr.isatty():
        yield NoView()
        return
    from rich.console import Console

    from quorate.cli.load_bars import LoadBars

    with LoadBars(Console(stderr=True, highlight=False)) as view:
        yield view


class NoView:
    """Shows nothing."""

    def show(self, status: ModelStatus) -> None:
        """Does nothing."""


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


def _print(line: str) -> None:
    print(line, flush=True)
