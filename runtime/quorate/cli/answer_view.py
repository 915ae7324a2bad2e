"""How an answer is shown: plain text in a pipe, coloured on a terminal, JSON lines for machines."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, Protocol

from quorate.cli.json_lines import event_fields, print_json
from quorate.cli.pieces import terminal_text
from quorate.cli.votes_view import STYLES, agreement

if TYPE_CHECKING:
    from quorate.v1 import inference_pb2


class AnswerView(Protocol):
    """Shows the events of one stream in their order."""

    def show(self, event: inference_pb2.GenerateResponse) -> None:
        """Shows one event."""

    def end(self) -> None:
        """Called once, after the last event, also where the stream broke off."""


def answer_view(as_json: bool) -> AnswerView:
    """The view that suits where standard output goes."""
    if as_json:
        return JsonAnswer()
    return TerminalAnswer() if sys.stdout.isatty() else PlainAnswer()


class JsonAnswer:
    """One JSON line for each event."""

    def show(self, event: inference_pb2.GenerateResponse) -> None:
        """See ``AnswerView``."""
        print_json(event_fields(event))

    def end(self) -> None:
        """See ``AnswerView``."""


class PlainAnswer:
    """The text alone, and a line feed at its end unless it has one."""

    def __init__(self) -> None:
        self._last = "\n"

    def show(self, event: inference_pb2.GenerateResponse) -> None:
        """See ``AnswerView``."""
        if event.delta.text:
            self._last = event.delta.text
            sys.stdout.write(event.delta.text)
            sys.stdout.flush()

    def end(self) -> None:
        """See ``AnswerView``."""
        if not self._last.endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()


class TerminalAnswer:
    """The text without control characters, each token coloured by how far the members agreed."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._colours = TokenColours()
        self._last = "\n"

    def show(self, event: inference_pb2.GenerateResponse) -> None:
        """See ``AnswerView``."""
        for text, style in self._colours.runs(event.delta):
            self._last = text
            self._console.out(terminal_text(text), style=style or None, end="")
        self._console.file.flush()

    def end(self) -> None:
        """See ``AnswerView``."""
        if not self._last.endswith("\n"):
            self._console.out("")


class TokenColours:
    """Divides the text of deltas into runs of one style.

    Text comes later than its tokens where a code point or a stop string is incomplete, so the
    styles of characters that have not come yet are kept.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._styles: list[str] = []

    def runs(self, delta: inference_pb2.Delta) -> list[tuple[str, str]]:
        """Returns the delta's text as pairs of text and style."""
        for token in delta.tokens:
            style = STYLES[agreement(token)]
            self._styles += [style] * len(self._decoder.decode(token.piece))
        styles = self._styles[: len(delta.text)]
        del self._styles[: len(delta.text)]
        styles += [""] * (len(delta.text) - len(styles))
        runs: list[tuple[str, str]] = []
        for char, style in zip(delta.text, styles, strict=True):
            if runs and runs[-1][1] == style:
                runs[-1] = (runs[-1][0] + char, style)
            else:
                runs.append((char, style))
        return runs
