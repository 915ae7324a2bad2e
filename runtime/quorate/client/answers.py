"""Whole answers, put together from the events of their streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quorate.v1 import inference_pb2


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that an answer makes.

    Attributes:
        id: By which its result refers to it.
        name: Of the tool.
        arguments: A JSON object, as JSON; only its beginning where the answer was cut in it.
    """

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any]:
        """The arguments as values.

        Raises:
            ValueError: The answer was cut within them.
        """
        values = json.loads(self.arguments)
        if not isinstance(values, dict):
            raise ValueError(f"the arguments of {self.name} are no JSON object")
        return values

    def result(self, content: str) -> dict[str, Any]:
        """The message that tells what the call gave."""
        return {"role": "tool", "tool_call_id": self.id, "name": self.name, "content": content}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        text: What it says.
        calls: Of tools, behind the text.
        finished: Why it ended, and what it took.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    finished: inference_pb2.Finished = field(default_factory=inference_pb2.Finished)

    @property
    def finish_reason(self) -> str:
        """Why it ended, such as ``tool_calls``; a reason that is not known here is its number."""
        number = self.finished.reason
        known = inference_pb2.FinishReason.DESCRIPTOR.values_by_number
        if number not in known:
            return str(number)
        name: str = known[number].name
        return name.removeprefix("FINISH_REASON_").lower()

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the chat that goes on with it."""
        calls = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.calls
        ]
        return {"role": "assistant", "content": self.text, "tool_calls": calls}


class AnswerReader:
    """Reads events one after the other; what a cascade replaces is left out."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, list[inference_pb2.ToolCallPart]] = {}
        self._finished = inference_pb2.Finished()

    def read(self, event: inference_pb2.GenerateResponse) -> None:
        """Takes up one event."""
        if event.notice.kind == inference_pb2.NOTICE_KIND_ESCALATED:
            self._texts.clear()
            self._calls.clear()
        self._texts.append(event.delta.text)
        for part in event.delta.tool_calls:
            self._calls.setdefault(part.index, []).append(part)
        if event.HasField("finished"):
            self._finished = event.finished

    def answer(self) -> Answer:
        """What has come so far."""
        calls = tuple(_joined(parts) for _, parts in sorted(self._calls.items()))
        return Answer("".join(self._texts), calls, self._finished)


def _joined(parts: Sequence[inference_pb2.ToolCallPart]) -> ToolCall:
    return ToolCall(parts[0].id, parts[0].name, "".join(part.arguments for part in parts))
