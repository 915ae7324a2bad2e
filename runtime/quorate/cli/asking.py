"""Asking one question: the stream goes to the answer's view, what was learnt goes to a record."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quorate.cli.answer_view import AnswerView
from quorate.cli.pieces import terminal_text

if TYPE_CHECKING:
    from quorate.v1 import inference_pb2, plan_pb2


@dataclass(slots=True)
class Record:
    """What a stream told besides its text."""

    decision: plan_pb2.Decision | None = None
    finished: inference_pb2.Finished | None = None
    tokens: list[inference_pb2.Token] = field(default_factory=list)

    def keep(self, event: inference_pb2.GenerateResponse) -> None:
        """Takes what one event tells."""
        kind = event.WhichOneof("event")
        if kind == "accepted":
            self.decision = event.accepted.decision
        elif kind == "delta":
            self.tokens.extend(event.delta.tokens)
        elif kind == "finished":
            self.finished = event.finished


async def follow(
    events: AsyncGenerator[inference_pb2.GenerateResponse, None], view: AnswerView
) -> Record:
    """Shows a stream to its end and returns what it told; notices go to a terminal's stderr."""
    record = Record()
    try:
        async with aclosing(events) as stream:
            async for event in stream:
                record.keep(event)
                if event.WhichOneof("event") == "notice" and sys.stderr.isatty():
                    _print_notice(event.notice)
                view.show(event)
    finally:
        view.end()
    return record


def timing(usage: inference_pb2.Usage) -> str:
    """One line: tokens, time to first token, and how fast the others followed."""
    count = usage.generated_tokens
    parts = [f"{count} token{'' if count == 1 else 's'}"]
    if usage.HasField("time_to_first_token_ms"):
        first_ms = usage.time_to_first_token_ms
        parts.append(f"first after {first_ms / 1e3:.2f} s")
        if count > 1 and usage.duration_ms > first_ms:
            parts.append(f"{(count - 1) / (usage.duration_ms - first_ms) * 1e3:.0f} tokens/s")
    return " \N{MIDDLE DOT} ".join(parts)


def plan_line(decision: plan_pb2.Decision) -> str:
    """One line: the members with their weights, the rule and the seed."""
    if len(decision.members) == 1:
        return f"{decision.members[0].model} \N{MIDDLE DOT} seed {decision.seed}"
    members = " + ".join(f"{member.weight:.2f} {member.model}" for member in decision.members)
    rule = decision.DESCRIPTOR.fields_by_name["rule"].enum_type
    name = rule.values_by_number[decision.rule].name.rpartition("_")[2].lower()
    return f"{members} \N{MIDDLE DOT} {name} \N{MIDDLE DOT} seed {decision.seed}"


def _print_notice(notice: inference_pb2.Notice) -> None:
    from rich.console import Console

    line = f"\n[{terminal_text(notice.message)}]"
    Console(stderr=True).out(line, style="yellow", highlight=False)
