"""Whole answers as they are made, and as they are told of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from quorate.comparing import reading
from quorate.dispatch.answers import Part
from quorate.dispatch.signals import SignalReader
from quorate.errors import QuorateError, Unavailable
from quorate.request import Comparison, Decision, Delta, FinishReason, GivenAnswer


@dataclass(slots=True)
class Voter:
    """Who gives one of several whole answers, and what there is of it.

    Attributes:
        decision: What makes it: one member alone, with a seed of its own.
        sample: Which of its member's answers it is, from 0.
        weight: Most that it can weigh.
        reader: Reads how sure it is of itself; None where nobody asks.
        parts: Of it, as its caller may see them.
        calls: Names and pieces of arguments of the calls it makes.
        ended: Whether it is whole.
        failure: What kept it from being made, where the others may decide without it.
        fatal: What ends the whole request.
        told: How many of its parts were streamed.
        reading: What it says, once it was counted; None where that cannot be told.
        counted: Whether it was.
    """

    decision: Decision
    sample: int
    weight: float
    reader: SignalReader | None = None
    parts: list[Part] = field(default_factory=list)
    text: str = ""
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    ended: bool = False
    failure: QuorateError | None = None
    fatal: BaseException | None = None
    told: int = 0
    reading: str | None = None
    counted: bool = False
    confidence: float | None = None
    bits_per_byte: float | None = None

    @property
    def model(self) -> str:
        """The member's model."""
        return self.decision.members[0].model

    def begin_again(self) -> None:
        """Forgets an answer that failed, but for the vote that was withdrawn."""
        self.parts, self.text, self.calls = [], "", []
        self.failure, self.told = None, 0

    def take(self, part: Part) -> Part:
        """Keeps a part of the answer; returns it as the caller may see it."""
        shown = part
        if isinstance(part, Delta):
            self._read(part)
            shown = part if self.reader is None else self.reader.read(part)
        self.ended = isinstance(part, FinishReason)
        self.parts.append(shown)
        return shown

    def read(self, comparison: Comparison) -> str | None:
        """What the whole answer says: by its calls where it makes some."""
        if self.calls:
            self.reading = json.dumps([[name, _canonical(told)] for name, told in self.calls])
        else:
            self.reading = reading(self.text, comparison)
        return self.reading

    def given(self) -> GivenAnswer:
        """The answer as it is told of."""
        return GivenAnswer(
            model=self.model,
            sample=self.sample,
            text=self.text,
            reading=self.reading,
            weight=self.weight,
            confidence=self.confidence,
            bits_per_byte=self.bits_per_byte,
            problem="" if self.failure is None else self.failure.message,
            ended=self.ended,
            lost=isinstance(self.failure, Unavailable),
        )

    def _read(self, delta: Delta) -> None:
        self.text += delta.text
        for call in delta.calls:
            if call.index == len(self.calls):
                self.calls.append((call.name, []))
            self.calls[call.index][1].append(call.arguments)


def _canonical(arguments: Sequence[str]) -> str:
    """Arguments of a call in one way of writing; as they are where they are no whole JSON."""
    written = "".join(arguments)
    try:
        return json.dumps(json.loads(written), sort_keys=True)
    except (ValueError, RecursionError):
        return written
