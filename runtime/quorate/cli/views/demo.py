"""How the demo looks: as a show for people, or as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from quorate.cli.events import print_event
from quorate.cli.views.answer import AnswerView, JsonAnswer, timing
from quorate.cli.views.decisions import notable_manner, unit
from quorate.cli.views.terminal import Console
from quorate.cli.views.votes import print_votes
from quorate.cli.views.writers import TerminalWriter
from quorate.foreign_text import one_line
from quorate.v1 import inference_pb2

_PIPE_WIDTH = 80


class JsonDemo:
    """One JSON object for each thing that happens."""

    def __init__(self) -> None:
        self._prompt = ""

    def prompt(self, text: str) -> None:
        """Notes the prompt."""
        self._prompt = text

    def answer(self, models: Sequence[str]) -> AnswerView:
        """Prints who is asked what."""
        print_event("ask", {"prompt": self._prompt, "models": list(models)})
        return JsonAnswer()

    def end(self, commands: Sequence[tuple[str, str]]) -> None:
        """Prints the commands."""
        print_event("next", {"commands": [command for _, command in commands]})


class TextDemo:
    """Headings, answers with their timing, and the table of votes, all on standard output."""

    def __init__(self) -> None:
        console = Console(highlight=False, emoji=False)
        width = None if console.is_terminal else _PIPE_WIDTH
        self._console = Console(highlight=False, emoji=False, width=width)

    def prompt(self, text: str) -> None:
        """Prints the prompt."""
        self._console.print(f"\n> {text}", style="bold", markup=False)

    def answer(self, models: Sequence[str]) -> AnswerView:
        """Prints who answers."""
        title = f"{models[0]} alone" if len(models) == 1 else "both vote"
        self._console.print(f"\n{title}", style="bold cyan", markup=False)
        return _TimedAnswer(self._console)

    def end(self, commands: Sequence[tuple[str, str]]) -> None:
        """Prints what to do next."""
        self._console.print("\nNext", style="bold")
        width = max(len(purpose) for purpose, _ in commands)
        for purpose, command in commands:
            self._console.print(f"  {purpose:<{width}}  ", style="dim", markup=False, end="")
            self._console.print(command, style="cyan", markup=False, soft_wrap=True)


DemoView: TypeAlias = JsonDemo | TextDemo


class _TimedAnswer:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._writer = TerminalWriter(console)
        self._accepted = inference_pb2.Accepted()
        self._tokens: list[inference_pb2.Token] = []

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        kind = response.WhichOneof("event")
        if kind == "accepted":
            self._accepted = response.accepted
        elif kind == "delta":
            self._tokens.extend(response.delta.tokens)
            self._writer.write(response.delta)
        elif kind == "notice":
            self._writer.end_line()
            self._console.print(one_line(response.notice.message), style="yellow", markup=False)
        elif kind == "finished":
            self._finish(response.finished)

    def close(self) -> None:
        self._writer.end_line()

    def _finish(self, finished: inference_pb2.Finished) -> None:
        self._writer.end_line()
        decision = self._accepted.decision
        told = timing(finished, unit(decision))
        members = decision.members
        if len(members) > 1:
            told.append(notable_manner(decision))
        self._console.print(" · ".join(told), style="dim")
        if len(members) > 1:
            print_votes(self._tokens, members, self._console)
