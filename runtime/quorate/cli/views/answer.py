"""How an answer is shown while it streams: JSON lines, or text and what there is to say of it."""

from __future__ import annotations

import sys
from typing import Protocol

from quorate.amounts import duration_text, usd_text
from quorate.cli.messages import total_energy
from quorate.cli.views.decisions import answering, detours, members_words, unit
from quorate.cli.views.formatting import energy_text
from quorate.cli.views.json_lines import response_line
from quorate.cli.views.outcome import outcome_words, print_outcome
from quorate.cli.views.terminal import Console
from quorate.cli.views.votes import print_candidates, print_votes
from quorate.cli.views.writers import Writer, stdout_writer
from quorate.client import AnswerReader
from quorate.foreign_text import one_line
from quorate.v1 import inference_pb2, plan_pb2

_LIMITS = {
    inference_pb2.FINISH_REASON_MAX_TOKENS: "cut at the token limit",
    inference_pb2.FINISH_REASON_MAX_BYTES: "cut at the byte limit",
    inference_pb2.FINISH_REASON_CONTEXT_FULL: "cut where the context was full",
    inference_pb2.FINISH_REASON_CONTENT_FILTER: "cut by the remote's filter",
}


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
        print(response_line(response), flush=True)

    def close(self) -> None:
        """Nothing is open."""


class TextAnswer:
    """The answer alone on standard output; what else there is to say on standard error.

    When the answer has ended, ``votes`` lists those, and ``candidates`` those of the mixture.
    ``held`` is whether it must be of a form, and so is not what was asked for where it was cut.
    """

    def __init__(
        self, writer: Writer, *, votes: bool, candidates: bool, held: bool = False
    ) -> None:
        self._writer = writer
        self._held = held
        self._votes = votes
        self._candidates = candidates
        self._notes = Console(stderr=True, highlight=False, emoji=False)
        self._decision = plan_pb2.Decision()
        self._escalations = 0
        self._tokens: list[inference_pb2.Token] = []
        self._answer = AnswerReader()

    def show(self, response: inference_pb2.GenerateResponse) -> None:
        """Shows one event."""
        self._answer.read(response)
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
        if decision.stages or decision.stream_early:
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
        # What gives way among whole answers does so once.
        if self._escalations == max(1, len(self._decision.stages) - 1):
            self._writer.keep()

    def _note(self, message: str) -> None:
        if sys.stdout.isatty() and self._notes.is_terminal:
            self._writer.end_line()
        self._notes.print(f"[{one_line(message)}]", style="yellow", markup=False, soft_wrap=True)

    def _finish(self, finished: inference_pb2.Finished) -> None:
        self._writer.keep()
        self._writer.end_line()
        for call in self._answer.answer().calls:
            self._writer.call(call)
        if self._held and finished.reason in _LIMITS:
            self._note(f"the answer was {_LIMITS[finished.reason]}, before it was whole")
        if self._notes.is_terminal:
            line = summary_line(self._decision, finished, self._escalations)
            self._notes.print(line, style="dim", markup=False)
        if not (self._candidates or self._votes):
            return
        console = report_console()
        if self._candidates:
            print_candidates(self._tokens, console)
        if self._votes and finished.HasField("outcome"):
            print_outcome(finished.outcome, console)
        elif self._votes:
            members = answering(self._decision, self._escalations).members
            print_votes(self._tokens, members, console, finished.usage.models)


def answer_view(as_json: bool, *, votes: bool, candidates: bool, held: bool = False) -> AnswerView:
    """The view of ``generate`` that fits what was asked for and where standard output goes."""
    if as_json:
        return JsonAnswer()
    return TextAnswer(stdout_writer(), votes=votes, candidates=candidates, held=held)


def report_console() -> Console:
    """Where tables go: to a terminal beside the answer, else to standard error, plain."""
    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=True, highlight=False, emoji=False, width=80)


def summary_line(
    decision: plan_pb2.Decision, finished: inference_pb2.Finished, escalations: int = 0
) -> str:
    """Tokens, times, what it cost, who answered and how they were chosen, and the seed.

    ``escalations`` counts the stages of a cascade that gave way.
    """
    answered = answering(decision, escalations)
    # An answer that was held back until it was known to be kept has no speed of its own.
    streamed = not decision.stages and not finished.HasField("outcome")
    parts = timing(finished, unit(answered), streamed=streamed) + _cost(finished.usage)
    if finished.HasField("outcome"):
        parts += [members_words(decision), outcome_words(finished.outcome)]
    elif decision.stages:
        parts.append(f"{members_words(decision)}, stage {escalations + 1} answered")
    else:
        parts.append(members_words(decision))
    parts += _route(decision)
    if finished.usage.drafted_tokens:
        right, guessed = finished.usage.accepted_tokens, finished.usage.drafted_tokens
        parts.append(f"{right} of {guessed} guesses right")
    if finished.usage.lone_tokens:
        parts.append(f"{finished.usage.lone_tokens} by one member each")
    if not decision.remote:
        parts.append(f"seed {answered.seed}")
    return " \N{MIDDLE DOT} ".join(parts)


def timing(
    finished: inference_pb2.Finished, counted: str = "token", *, streamed: bool = True
) -> list[str]:
    """How many tokens, or words, there are, how fast they came, and what limit ended them.

    There is a speed only where each was shown when it came.
    """
    usage = finished.usage
    count = usage.generated_tokens
    parts = [f"{count} {counted}{'' if count == 1 else 's'}"]
    if usage.HasField("time_to_first_token_ms"):
        parts.append(f"first after {duration_text(usage.time_to_first_token_ms)}")
    speed = tokens_per_second(usage)
    if streamed and speed is not None:
        parts.append(f"{speed:.1f} {counted}s/s")
    if finished.reason in _LIMITS:
        parts.append(_LIMITS[finished.reason])
    return parts


def tokens_per_second(usage: inference_pb2.Usage) -> float | None:
    """Speed of decoding after the first token, or None where there is nothing to measure."""
    if usage.generated_tokens < 2 or not usage.HasField("time_to_first_token_ms"):
        return None
    seconds = (usage.duration_ms - usage.time_to_first_token_ms) / 1e3
    return (usage.generated_tokens - 1) / seconds if seconds > 0 else None


def _cost(usage: inference_pb2.Usage) -> list[str]:
    """Energy with its tier, or that it is not known, and dollars where any were charged."""
    if not usage.models:
        return []
    total = total_energy([model.energy for model in usage.models])
    parts = [energy_text(total or inference_pb2.Energy())]
    charged = [model.usd for model in usage.models if model.HasField("usd")]
    if charged:
        parts.append(usd_text(sum(charged)))
    return parts


def _route(decision: plan_pb2.Decision) -> list[str]:
    """How the plan was come by, where it was not spelled out."""
    parts = [f"profile {decision.profile}"] if decision.profile else []
    if len(decision.candidates) > 1:
        parts.append(f"chosen from {len(decision.candidates)} plans")
    if decision.explored:
        parts.append("chosen to learn what it costs")
    return parts
