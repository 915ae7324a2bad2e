"""What answers of ``/v1/messages`` look like. Pure, and lean: one of these runs for every token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quorate.access.tools import json_object
from quorate.api.http.anthropic.tools import CALL
from quorate.api.http.asking import Asked
from quorate.api.http.errors import error_body, http_status
from quorate.api.http.extension import NAME, told_at_last
from quorate.api.http.shapes import Call, Piece, Shape
from quorate.errors import InvalidRequest, QuorateError
from quorate.large_texts import utf8_size
from quorate.request import Accepted, Delta, Event, Finished, FinishReason, Token

STOPS: Mapping[FinishReason, str] = {
    FinishReason.END_OF_GENERATION: "end_turn",
    FinishReason.STOP_STRING: "stop_sequence",
    FinishReason.MAX_TOKENS: "max_tokens",
    FinishReason.MAX_BYTES: "max_tokens",
    FinishReason.CONTEXT_FULL: "max_tokens",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.TOOL_CALLS: "tool_use",
}
_TEXT = "text"
_ERRORS: Mapping[int, str] = {
    503: "overloaded_error",
    504: "timeout_error",
    500: "api_error",
}


class MessageShape(Shape):
    """A message, whose blocks are a text, where there is one, and calls."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        super().__init__(asked, request_id)
        self._blocks = 0
        self._open = ""
        # Tokens whose votes no event has told.
        self._untold: list[Token] = []

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        if isinstance(event, Accepted):
            message = {**self._message([], None), "usage": self._usage()}
            message[NAME] = self._begun(event)
            yield {"type": "message_start", "message": message}
        elif isinstance(event, Delta):
            # Its reasoning is no part of a message.
            if event.reasoning is None:
                yield from self._going_on(event)
        elif isinstance(event, Finished):
            if not self._open:
                yield from self._started(_text(""))
            yield self._stopped()
            last = told_at_last(event, self.choices[index].notices)
            yield {
                "type": "message_delta",
                "delta": {"stop_reason": STOPS[event.reason], "stop_sequence": None},
                "usage": self._usage(),
                NAME: {**last, **self._votes_of_untold()},
            }
            yield {"type": "message_stop"}

    def _going_on(self, delta: Delta) -> Iterable[Piece]:
        self._untold += delta.tokens
        if delta.text:
            if self._open != _TEXT:
                yield from self._started(_text(""))
            yield self._piece({"type": "text_delta", "text": delta.text})
        for part in delta.calls:
            if part.name:
                yield from self._started(_call(part.call_id, part.name, {}))
            if part.arguments:
                yield self._piece({"type": "input_json_delta", "partial_json": part.arguments})

    def _started(self, block: Mapping[str, Any]) -> Iterable[Piece]:
        """Events of a block that begins; the one before it has ended."""
        if self._open:
            yield self._stopped()
        self._open = block["type"]
        self._blocks += 1
        yield {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}

    def _stopped(self) -> Piece:
        return {"type": "content_block_stop", "index": self._blocks - 1}

    def _piece(self, delta: Mapping[str, Any]) -> Piece:
        told = {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}
        votes = self._votes_of_untold()
        return {**told, NAME: votes} if votes else told

    def _votes_of_untold(self) -> Mapping[str, Any]:
        tokens, self._untold = self._untold, []
        return self._votes(tokens) if tokens else {}

    def whole(self) -> dict[str, Any]:
        """See the base."""
        (choice,) = self.choices
        assert choice.finished is not None
        text = "".join(choice.texts)
        content = [_text(text)] if text or not choice.calls else []
        content += [_call(one.call_id, one.name, _input(one)) for one in choice.calls]
        return {
            **self._message(content, STOPS[choice.finished.reason]),
            "usage": self._usage(),
            NAME: self._told(),
        }

    def _message(
        self, content: Sequence[Mapping[str, Any]], stop_reason: str | None
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._request_id}",
            "type": "message",
            "role": "assistant",
            "model": self._name,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
        }

    def _usage(self) -> dict[str, int]:
        prompt, cached, generated = self._counts()
        return {
            "input_tokens": prompt - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": generated,
        }


def _text(text: str) -> Mapping[str, Any]:
    return {"type": _TEXT, "text": text}


def _call(call_id: str, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": CALL, "id": call_id, "name": name, "input": given}


def _input(call: Call) -> Mapping[str, Any]:
    """What a tool is called with; nothing where the answer was cut before that was whole."""
    text = call.arguments
    try:
        return json_object("input", text, utf8_size(text))
    except InvalidRequest:
        return {}


def message_error(error: QuorateError, request_id: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The body that an error is told with; arguments as of ``error_body``."""
    told = error_body(error, request_id, names)["error"]
    told["type"] = _ERRORS.get(http_status(error), told["type"])
    return {"type": "error", "error": told, "request_id": request_id}
