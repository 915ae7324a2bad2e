"""How an answer is shown while it streams: JSON lines, or text and what there is to say of it."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console

from quorate.cli.json_lines import event_line
from quorate.cli.pieces import harmless
from quorate.cli.summary import summary_line
from quorate.cli.votes_table import print_candidates, print_votes
from quorate.cli.writers import Writer
from quorate.v1 import inference_pb2


class AnswerView(Protocol):
    """Shows the events of one answer."""

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        """Shows one event."""
        ...

    def close(self) -> None:
        """Ends the line; called also where the answer broke off."""
        ...


class JsonAnswer:
    """One JSON object for each event."""

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        """Prints one line."""
        print(event_line(response), flush=True)

    def close(self) -> None:
        """Nothing is open."""


class TextAnswer:
    """The answer alone on standard output; what else there is to say on standard error.

    Args:
        writer: Writes the text.
        votes: Whether the votes are listed when the answer has ended.
        candidates: Whether the mixture's candidates are.
    """

    def __init__(self, writer: Writer, *, votes: bool, candidates: bool) -> None:
        self._writer = writer
        self._votes = votes
        self._candidates = candidates
        self._notes = Console(stderr=True, highlight=False)
        self._accepted = inference_pb2.Accepted()
        self._tokens: list[inference_pb2.Token] = []

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        """Shows one event."""
        kind = response.WhichOneof("event")
        if kind == "delta":
            self._tokens.extend(response.delta.tokens)
            self._writer.write(response.delta)
        elif kind == "accepted":
            self._accepted = response.accepted
        elif kind == "notice":
            self._notice(response.notice)
        elif kind == "finished":
            self._finish(response.finished)

    def close(self) -> None:
        """Ends the line of an answer that broke off."""
        self._writer.end_line()

    def _notice(self, notice: inference_pb2.Notice) -> None:
        if sys.stdout.isatty() and self._notes.is_terminal:
            self._writer.end_line()
        line = f"[{harmless(notice.message)}]"
        self._notes.print(line, style="yellow", markup=False, soft_wrap=True)

    def _finish(self, finished: inference_pb2.Finished) -> None:
        self._writer.end_line()
        if self._notes.is_terminal:
            line = summary_line(self._accepted.decision, finished)
            self._notes.print(line, style="dim", markup=False)
        if not (self._candidates or self._votes):
            return
        console = report_console()
        if self._candidates:
            print_candidates(self._tokens, console)
        if self._votes:
            print_votes(self._tokens, self._accepted.decision.members, console)


def report_console() -> Console:
    """Where tables go: to a terminal beside the answer, else to standard error, plain."""
    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=True, highlight=False, width=80)
