"""How whole answers voted, in words and as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quorate.cli.messages import enum_name
from quorate.foreign_text import one_line
from quorate.v1 import inference_pb2, plan_pb2

_MOST_CHARACTERS = 60


def outcome_words(outcome: inference_pb2.Outcome) -> str:
    """Who gave the answer that was kept, and how many say the same."""
    if not outcome.answers:
        return ""
    kept = outcome.answers[outcome.kept]
    ended = sum(answer.ended for answer in outcome.answers)
    # Where they could not be scored most of them decided.
    if kept.HasField("bits_per_byte"):
        return f"the answer of {kept.model}, the most probable of {ended}"
    agree = next((len(one.answers) for one in outcome.groups if outcome.kept in one.answers), 1)
    tie = ", a tie" if outcome.tied else ""
    return f"the answer of {kept.model}, {agree} of {ended} say so{tie}"


def answers_manner(decision: plan_pb2.Decision) -> str:
    """How whole answers vote, in few words."""
    answers = decision.answers
    select = enum_name(plan_pb2.Selection.DESCRIPTOR, answers.select)
    compare = enum_name(plan_pb2.Comparison.DESCRIPTOR, answers.compare)
    parts = [f"{select} of whole answers", compare]
    if answers.samples > 1:
        parts.append(f"{answers.samples} samples each")
    if answers.weighting == plan_pb2.WEIGHTING_CONFIDENCE:
        parts.append("by confidence")
    return ", ".join(parts)


def print_outcome(outcome: inference_pb2.Outcome, console: Console) -> None:
    """A table of all answers: who gave them, what they say, and what they weigh."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("model")
    table.add_column("says")
    table.add_column("weight", justify="right")
    judged = any(answer.HasField("bits_per_byte") for answer in outcome.answers)
    sure = any(answer.HasField("confidence") for answer in outcome.answers)
    if sure:
        table.add_column("confidence", justify="right")
    if judged:
        table.add_column("bits/byte", justify="right")
    table.add_column("answer")
    for place, answer in enumerate(outcome.answers):
        cells = [
            f"{answer.model}{f' #{answer.sample + 1}' if answer.sample else ''}",
            _short(answer.reading) if answer.HasField("reading") else "-",
            f"{answer.weight:.2f}",
        ]
        if sure:
            cells.append(f"{answer.confidence:.2f}" if answer.HasField("confidence") else "-")
        if judged:
            cells.append(f"{answer.bits_per_byte:.3f}" if answer.HasField("bits_per_byte") else "-")
        cells.append(_told(answer))
        # What models say is no markup.
        table.add_row(*map(Text, cells), style="bold" if place == outcome.kept else None)
    console.print()
    console.print(table)


def _told(answer: inference_pb2.GivenAnswer) -> str:
    if answer.problem:
        return f"none: {_short(answer.problem)}"
    if not answer.ended:
        return "not waited for"
    return _short(answer.text)


def _short(text: str) -> str:
    return one_line(" ".join(text.split()), _MOST_CHARACTERS)
