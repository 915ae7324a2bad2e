"""Writing the text of an answer: exactly as it is, or fit for a terminal."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console
from rich.text import Text

from quorate.cli.pieces import harmless
from quorate.cli.token_colours import TokenColours
from quorate.v1 import inference_pb2


class Writer(Protocol):
    """Writes the text of an answer."""

    def write(self, delta: inference_pb2.Delta) -> None:
        """Writes a piece of it."""
        ...

    def end_line(self) -> None:
        """Begins a new line, unless it was just begun."""
        ...


class PlainWriter:
    """Writes the text exactly as it came, and a line feed at its end unless it has one."""

    def __init__(self) -> None:
        self._last = "\n"

    def write(self, delta: inference_pb2.Delta) -> None:
        """Writes a piece of the answer."""
        if not delta.text:
            return
        sys.stdout.write(delta.text)
        sys.stdout.flush()
        self._last = delta.text[-1]

    def end_line(self) -> None:
        """Begins a new line, unless it was just begun."""
        if self._last == "\n":
            return
        sys.stdout.write("\n")
        sys.stdout.flush()
        self._last = "\n"


class TerminalWriter:
    """Writes without control sequences, each token in the colour of the members' agreement.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colours = TokenColours()
        self._last = "\n"

    def write(self, delta: inference_pb2.Delta) -> None:
        """Writes a piece of the answer."""
        for text, style in self._colours.runs(delta):
            self._print(text, style)

    def end_line(self) -> None:
        """Begins a new line, unless it was just begun."""
        self._print(self._colours.rest(), "")
        if self._last == "\n":
            return
        self._console.print()
        self._last = "\n"

    def _print(self, text: str, style: str) -> None:
        if not text:
            return
        self._console.print(Text(harmless(text), style=style), end="", soft_wrap=True)
        self._last = text[-1]


def stdout_writer() -> Writer:
    """The writer that fits where standard output goes."""
    if sys.stdout.isatty():
        return TerminalWriter(Console(highlight=False))
    return PlainWriter()
