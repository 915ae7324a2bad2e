"""How an answer is shown while it streams: JSON lines, or text and what there is to say of it."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console

from quorate.cli.json_lines import event_line
from quorate.cli.pieces import harmless
from quorate.cli.plan_words import answering
from quorate.cli.route_words import detours
from quorate.cli.summary import summary_line
from quorate.cli.votes_table import print_candidates, print_votes
from quorate.cli.writers import Writer
from quorate.v1 import inference_pb2, plan_pb2


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
        self._decision = plan_pb2.Decision()
        self._escalations = 0
        self._tokens: list[inference_pb2.Token] = []

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        """Shows one event."""
        kind = response.WhichOneof("event")
        if kind == "delta":
            self._tokens.extend(response.delta.tokens)
            self._writer.write(response.delta)
        elif kind == "accepted":
            self._accept(response.accepted.decision)
        elif kind == "notice":
            self._notice(response.notice)
        elif kind == "finished":
            self._finish(response.finished)

    def close(self) -> None:
        """Ends the line of an answer that broke off."""
        self._writer.end_line()

    def _accept(self, decision: plan_pb2.Decision) -> None:
        self._decision = decision
        if decision.stages:
            self._writer.hold()
        if decision.remote:
            self._writer.without_tokens()
        for line in detours(decision):
            self._note(line)

    def _notice(self, notice: inference_pb2.Notice) -> None:
        self._note(notice.message)
        if notice.kind == inference_pb2.NOTICE_KIND_ESCALATED:
            self._escalate()
        elif notice.kind == inference_pb2.NOTICE_KIND_FELL_BACK:
            # Nobody told whether the plan that answers instead is a cascade or a remote.
            self._writer.hold()
            self._writer.without_tokens()

    def _escalate(self) -> None:
        self._escalations += 1
        self._tokens.clear()
        self._writer.discard()
        if self._escalations == len(self._decision.stages) - 1:
            self._writer.keep()

    def _note(self, message: str) -> None:
        if sys.stdout.isatty() and self._notes.is_terminal:
            self._writer.end_line()
        self._notes.print(f"[{harmless(message)}]", style="yellow", markup=False, soft_wrap=True)

    def _finish(self, finished: inference_pb2.Finished) -> None:
        self._writer.keep()
        self._writer.end_line()
        if self._notes.is_terminal:
            line = summary_line(self._decision, finished, self._escalations)
            self._notes.print(line, style="dim", markup=False)
        if not (self._candidates or self._votes):
            return
        console = report_console()
        if self._candidates:
            print_candidates(self._tokens, console)
        if self._votes:
            members = answering(self._decision, self._escalations).members
            print_votes(self._tokens, members, console, finished.usage.models)


def report_console() -> Console:
    """Where tables go: to a terminal beside the answer, else to standard error, plain."""
    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=True, highlight=False, width=80)
