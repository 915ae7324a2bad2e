"""What answers of ``/v1/responses`` look like. Pure, and lean: one of these runs for every token.

An answer is a list of items: what the model thinks, where it does, and a message. A stream tells
of each where it begins, its text piece by piece, and all of it once more where it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from quorate.api.http.asking import Asked
from quorate.api.http.extension import NAME, told_at_last
from quorate.api.http.openai.logprobs import told_logprobs
from quorate.api.http.shapes import Piece, Shape
from quorate.request import Accepted, Delta, Event, Finished, FinishReason, Token

_CUT: Mapping[FinishReason, str] = {
    FinishReason.MAX_TOKENS: "max_output_tokens",
    FinishReason.MAX_BYTES: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}
"""Why an answer that is not complete is not."""

_IN_PROGRESS, _COMPLETED, _INCOMPLETE = "in_progress", "completed", "incomplete"
# Fields that all answers have alike.
_SAME: Mapping[str, Any] = {
    "error": None,
    "tools": [],
    "background": False,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "truncation": "disabled",
}


class _Kind(Enum):
    """What an item is; the value begins the names of its events."""

    MESSAGE = "response.output_text"
    REASONING = "response.reasoning_text"


class _Item:
    """One item of an answer, as far as it is there.

    Args:
        kind: What it is.
        index: Its place in the answer.
        request_id: The id that the answer is known by.
    """

    def __init__(self, kind: _Kind, index: int, request_id: str) -> None:
        self.kind = kind
        self.index = index
        self.texts: list[str] = []
        # Those alone whose log-probs are told.
        self.tokens: list[Token] = []
        prefix = "msg" if kind is _Kind.MESSAGE else "rs"
        self.id = f"{prefix}_{request_id}_{index}"

    def begun(self) -> dict[str, Any]:
        """The item, before anything of it is there."""
        return self._told(_IN_PROGRESS, [])

    def told(self, status: str) -> dict[str, Any]:
        """All of it."""
        return self._told(status, [self.part()])

    def _told(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        if self.kind is _Kind.REASONING:
            own: dict[str, Any] = {"type": "reasoning", "summary": []}
        else:
            own = {"type": "message", "role": "assistant"}
        return {"id": self.id, **own, "status": status, "content": content}

    def part(self) -> dict[str, Any]:
        """Its only part, as far as it is there."""
        text = "".join(self.texts)
        if self.kind is _Kind.REASONING:
            return {"type": "reasoning_text", "text": text}
        return _text_part(text, told_logprobs(self.tokens))

    def empty_part(self) -> dict[str, Any]:
        """Its only part, before anything of it is there."""
        if self.kind is _Kind.REASONING:
            return {"type": "reasoning_text", "text": ""}
        return _text_part("", [])

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        """An event that tells of its part."""
        place = {"item_id": self.id, "output_index": self.index, "content_index": 0}
        return {"type": kind, **place, **more}

    def done(self) -> dict[str, Any]:
        """The event that tells all of its text."""
        part = self.part()
        told = {name: part[name] for name in ("text", "logprobs") if name in part}
        return self.event(f"{self.kind.value}.done", **told)


class ResponseShape(Shape):
    """A response of one answer."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        super().__init__(asked, request_id)
        self._items: list[_Item] = []
        self._announced = 0
        self._reasoning_tokens = 0
        self._sent = 0
        self._created = int(time.time())
        self._completed: int | None = None

    def add(self, index: int, event: Event, *, keep: bool) -> None:
        """See the base. A stream tells its text once more at its end, so that it is always kept."""
        super().add(index, event, keep=keep and self._asked.votes)
        if isinstance(event, Delta):
            self._keep(event)
        elif isinstance(event, Finished):
            self._end(event)

    def _keep(self, delta: Delta) -> None:
        if delta.reasoning is None:
            kind, text = _Kind.MESSAGE, delta.text
        else:
            kind, text = _Kind.REASONING, delta.reasoning
            self._reasoning_tokens += len(delta.tokens)
        tokens = self._shown(delta)
        if not (text or tokens or (self._asked.votes and delta.tokens)):
            return
        if not self._items or self._items[-1].kind is not kind:
            self._open(kind)
        self._items[-1].texts.append(text)
        self._items[-1].tokens += tokens

    def _end(self, finished: Finished) -> None:
        cut = finished.reason in _CUT
        if not cut:
            self._completed = int(time.time())
        # One that was cut while the model still thought has no message.
        if not self._items or (self._items[-1].kind is _Kind.REASONING and not cut):
            self._open(_Kind.MESSAGE)

    def _open(self, kind: _Kind) -> None:
        self._items.append(_Item(kind, len(self._items), self._request_id))

    def _shown(self, delta: Delta) -> list[Token]:
        """The tokens of a delta whose log-probs are told."""
        if not self._asked.logprobs or delta.reasoning is not None:
            return []
        return [token for token in delta.tokens if not token.control]

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        if isinstance(event, Accepted):
            told = {**self._response(_IN_PROGRESS), NAME: self._begun(event)}
            for name in ("created", "in_progress"):
                yield {"type": f"response.{name}", "response": told}
        elif isinstance(event, Delta):
            yield from self._beginnings()
            yield from self._going_on(event)
        elif isinstance(event, Finished):
            yield from self._beginnings()
            yield from _closing(self._items[-1], self._status)
            yield self._closed

    def _beginnings(self) -> Iterator[Piece]:
        """Events of items that have begun since; the one before each of them has ended."""
        for item in self._items[self._announced :]:
            if item.index:
                yield from _closing(self._items[item.index - 1], _COMPLETED)
            self._announced += 1
            yield {
                "type": "response.output_item.added",
                "output_index": item.index,
                "item": item.begun(),
            }
            yield item.event("response.content_part.added", part=item.empty_part())

    def _going_on(self, delta: Delta) -> Iterator[Piece]:
        text = delta.text if delta.reasoning is None else delta.reasoning
        tokens, votes = self._shown(delta), self._votes(delta.tokens)
        if not (text or tokens or votes):
            return
        item = self._items[-1]
        told = item.event(f"{item.kind.value}.delta", delta=text)
        if item.kind is _Kind.MESSAGE:
            told["logprobs"] = told_logprobs(tokens)
        yield {**told, NAME: votes} if votes else told

    def whole(self) -> dict[str, Any]:
        """See the base."""
        return {**self._ended(), NAME: self._told()}

    def _closed(self) -> dict[str, Any]:
        """The last event of a stream, which has told the votes already."""
        (choice,) = self.choices
        assert choice.accepted is not None and choice.finished is not None
        last = told_at_last(choice.finished.usage, choice.notices)
        told = {**self._ended(), NAME: {**self._begun(choice.accepted), **last}}
        return {"type": f"response.{self._status}", "response": told}

    def _ended(self) -> dict[str, Any]:
        *before, last = self._items
        output = [item.told(_COMPLETED) for item in before]
        return self._response(self._status, [*output, last.told(self._status)], self._usage())

    def _response(
        self,
        status: str,
        output: Sequence[Mapping[str, Any]] = (),
        usage: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        why = self._why_cut
        return {
            "id": f"resp_{self._request_id}",
            "object": "response",
            "created_at": self._created,
            "completed_at": self._completed,
            "status": status,
            "incomplete_details": {"reason": why} if why else None,
            "model": self._name,
            "output": list(output),
            "usage": usage,
            **_SAME,
            **self._asked.repeated,
        }

    @property
    def _why_cut(self) -> str:
        """Why it is not complete; "" where it is, or has not ended."""
        (choice,) = self.choices
        return "" if choice.finished is None else _CUT.get(choice.finished.reason, "")

    @property
    def _status(self) -> str:
        """Of an answer that has ended."""
        return _INCOMPLETE if self._why_cut else _COMPLETED

    def _usage(self) -> dict[str, Any]:
        prompt, cached, generated = self._counts()
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": generated,
            "output_tokens_details": {"reasoning_tokens": self._reasoning_tokens},
            "total_tokens": prompt + generated,
        }

    def as_sent(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """See the base. Events are counted; an error is told as one, and in its own shape."""
        if "type" not in told:
            error = told["error"]
            known = {name: error[name] for name in ("code", "message", "param")}
            # What has an ``error`` is an exception to the clients that stream chats as well.
            told = {"type": "error", **known, **told}
        number = self._sent
        self._sent += 1
        return {"type": told["type"], "sequence_number": number, **told}


def _closing(item: _Item, status: str) -> Iterator[Piece]:
    """The events that tell that an item has ended, each with all of it."""
    yield item.done
    yield lambda: item.event("response.content_part.done", part=item.part())
    yield lambda: {
        "type": "response.output_item.done",
        "output_index": item.index,
        "item": item.told(status),
    }


def _text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
