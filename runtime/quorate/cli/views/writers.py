"""Writing the text of an answer: exactly as it is, or fit for a terminal."""

from __future__ import annotations

import codecs
import json
import sys
from contextlib import suppress
from itertools import groupby
from typing import Any, TypeAlias

from rich.text import Text

from quorate.cli.views.terminal import Console
from quorate.cli.views.votes import STYLES, agreement
from quorate.client import ToolCall
from quorate.foreign_text import harmless
from quorate.v1 import inference_pb2

_REPLACED = "\N{UPWARDS ARROW} replaced by what follows \N{DOWNWARDS ARROW}"


class PlainWriter:
    """Writes the text exactly as it came, and a line feed at its end unless it has one.

    What may be replaced is held back until it is kept, since nothing can be taken back.
    """

    def __init__(self) -> None:
        self._last = "\n"
        self._holds = False
        self._held: list[str] = []

    def write(self, delta: inference_pb2.Delta) -> None:
        """Writes a piece of the answer."""
        if self._holds:
            self._held.append(delta.text)
        else:
            self._write(delta.text)

    def without_tokens(self) -> None:
        """Text is all that is written anyway."""

    def hold(self) -> None:
        """What follows may be replaced."""
        self._holds = True

    def keep(self) -> None:
        """Writes what was held back."""
        self._holds = False
        self._write("".join(self._held))
        self._held.clear()

    def discard(self) -> None:
        """Forgets what was held back."""
        self._held.clear()

    def end_line(self) -> None:
        """Begins a new line, unless it was just begun."""
        if self._last == "\n":
            return
        sys.stdout.write("\n")
        sys.stdout.flush()
        self._last = "\n"

    def call(self, call: ToolCall) -> None:
        """Writes a call as a line of JSON; arguments that were cut off are null."""
        fields = {"id": call.id, "name": call.name, "arguments": _arguments(call)}
        self._write(f"{json.dumps(fields)}\n")

    def _write(self, text: str) -> None:
        if not text:
            return
        sys.stdout.write(text)
        sys.stdout.flush()
        self._last = text[-1]


class TokenColours:
    """Divides the text of deltas into runs of one style.

    Text comes later than its tokens where a code point or a stop string is not complete yet, and
    earlier where a word is not: whichever is ahead is kept until the other has come.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._styles: list[str] = []

    def runs(self, delta: inference_pb2.Delta) -> list[tuple[str, str]]:
        """The text that a delta completes, as pairs of text and style."""
        self._text += delta.text
        for token in delta.tokens:
            characters = self._decoder.decode(token.piece)
            self._styles += [STYLES[agreement(token)]] * len(characters)
        count = min(len(self._text), len(self._styles))
        pairs = list(zip(self._text[:count], self._styles[:count], strict=True))
        self._text = self._text[count:]
        del self._styles[:count]
        return [
            ("".join(char for char, _ in run), style)
            for style, run in groupby(pairs, key=lambda pair: pair[1])
        ]

    def rest(self) -> str:
        """The text whose token has not come; it counts as shown from now on."""
        rest, self._text = self._text, ""
        return rest


class TerminalWriter:
    """Writes without control sequences, each token in the colour of the members' agreement.

    What is replaced stays readable above a line that says so: a terminal cannot take back what has
    left its screen.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colours = TokenColours()
        self._last = "\n"
        self._wrote = False
        self._has_tokens = True

    def write(self, delta: inference_pb2.Delta) -> None:
        """Writes a piece of the answer, or dimly of the reasoning before it."""
        if delta.HasField("reasoning"):
            self._print(delta.reasoning, "dim")
            return
        runs = self._colours.runs(delta) if self._has_tokens else [(delta.text, "")]
        for text, style in runs:
            self._print(text, style)

    def without_tokens(self) -> None:
        """What follows comes as text alone, and is written without waiting for tokens."""
        self._has_tokens = False

    def hold(self) -> None:
        """What follows may be replaced."""
        self._wrote = False

    def keep(self) -> None:
        """Nothing was held back."""

    def discard(self) -> None:
        """Tells that what stands above is replaced by what follows."""
        self.end_line()
        self._colours = TokenColours()
        if self._wrote:
            self._console.print(_REPLACED, style="dim")
        self._wrote = False

    def end_line(self) -> None:
        """Begins a new line, unless it was just begun."""
        self._print(self._colours.rest(), "")
        if self._last == "\n":
            return
        self._console.print()
        self._last = "\n"

    def call(self, call: ToolCall) -> None:
        """Writes a call as programs do; arguments that were cut off as far as they are there."""
        self._print(f"\N{RIGHTWARDS ARROW} {call.name}", "bold")
        self._print(f"({_written(call)})\n", "")

    def _print(self, text: str, style: str) -> None:
        if not text:
            return
        self._console.print(Text(harmless(text), style=style), end="", soft_wrap=True)
        self._last = text[-1]
        self._wrote = True


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    with suppress(ValueError):
        return call.parsed()
    return None


def _written(call: ToolCall) -> str:
    values = _arguments(call)
    if values is None:
        return f"{call.arguments} \N{HORIZONTAL ELLIPSIS}"
    pairs = values.items()
    return ", ".join(f"{name}={json.dumps(one, ensure_ascii=False)}" for name, one in pairs)


Writer: TypeAlias = PlainWriter | TerminalWriter


def stdout_writer() -> Writer:
    """The writer that fits where standard output goes."""
    if sys.stdout.isatty():
        return TerminalWriter(Console(highlight=False, emoji=False))
    return PlainWriter()
