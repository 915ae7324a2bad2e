"""What answers of ``/v1/messages`` look like. Pure, and lean: one of these runs for every token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from quorate.api.http.errors import error_body, http_status
from quorate.api.http.extension import NAME, told_at_last
from quorate.api.http.shapes import Piece, Shape
from quorate.errors import QuorateError
from quorate.request import Accepted, Delta, Event, Finished, FinishReason

STOPS: Mapping[FinishReason, str] = {
    FinishReason.END_OF_GENERATION: "end_turn",
    FinishReason.STOP_STRING: "stop_sequence",
    FinishReason.MAX_TOKENS: "max_tokens",
    FinishReason.MAX_BYTES: "max_tokens",
    FinishReason.CONTEXT_FULL: "max_tokens",
    FinishReason.CONTENT_FILTER: "refusal",
}
_ERRORS: Mapping[int, str] = {
    503: "overloaded_error",
    504: "timeout_error",
    500: "api_error",
}


class MessageShape(Shape):
    """A message, whose only block is a text."""

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        if isinstance(event, Accepted):
            message = {**self._message([], None), "usage": self._usage()}
            message[NAME] = self._begun(event)
            yield {"type": "message_start", "message": message}
            block = {"type": "text", "text": ""}
            yield {"type": "content_block_start", "index": 0, "content_block": block}
        elif isinstance(event, Delta):
            # Its reasoning is no part of a message.
            if event.reasoning is None:
                piece = {"type": "text_delta", "text": event.text}
                told = {"type": "content_block_delta", "index": 0, "delta": piece}
                votes = self._votes(event.tokens)
                yield {**told, NAME: votes} if votes else told
        elif isinstance(event, Finished):
            yield {"type": "content_block_stop", "index": 0}
            yield {
                "type": "message_delta",
                "delta": {"stop_reason": STOPS[event.reason], "stop_sequence": None},
                "usage": self._usage(),
                NAME: told_at_last(event.usage, self.choices[index].notices),
            }
            yield {"type": "message_stop"}

    def whole(self) -> dict[str, Any]:
        """See the base."""
        (choice,) = self.choices
        assert choice.finished is not None
        content = [{"type": "text", "text": "".join(choice.texts)}]
        return {
            **self._message(content, STOPS[choice.finished.reason]),
            "usage": self._usage(),
            NAME: self._told(),
        }

    def _message(self, content: list[dict[str, str]], stop_reason: str | None) -> dict[str, Any]:
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


def message_error(error: QuorateError, request_id: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The body that an error is told with; arguments as of ``error_body``."""
    told = error_body(error, request_id, names)["error"]
    told["type"] = _ERRORS.get(http_status(error), told["type"])
    return {"type": "error", "error": told, "request_id": request_id}
