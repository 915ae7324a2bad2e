"""What answers of ``/v1/responses`` look like. Pure, and lean: one of these runs for every token.

An answer is a list of items: what the model thinks, where it does, a message, and calls of tools.
A stream tells of each where it begins, its text piece by piece, and all of it once more where it
ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from quorate.api.http.asking import Asked
from quorate.api.http.extension import NAME, told_at_last
from quorate.api.http.openai.response_items import (
    IN_PROGRESS,
    CallItem,
    Item,
    MessageItem,
    ReasoningItem,
)
from quorate.api.http.shapes import Piece, Shape
from quorate.request import Accepted, CallPart, Delta, Event, Finished, FinishReason, Token

_CUT: Mapping[FinishReason, str] = {
    FinishReason.MAX_TOKENS: "max_output_tokens",
    FinishReason.MAX_BYTES: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}
"""Why an answer that is not complete is not."""

_COMPLETED, _INCOMPLETE = "completed", "incomplete"
# Fields that all answers have alike.
_SAME: Mapping[str, Any] = {
    "error": None,
    "background": False,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "truncation": "disabled",
}


class _News(NamedTuple):
    """What an event adds to an item.

    Attributes:
        tokens: Of which something is told.
    """

    item: Item
    text: str
    tokens: Sequence[Token]


class ResponseShape(Shape):
    """A response of one answer."""

    def __init__(self, asked: Asked, request_id: str) -> None:
        super().__init__(asked, request_id)
        self._items: list[Item] = []
        self._news: list[_News] = []
        # Tokens that no item has yet, since it is not known which one they belong to.
        self._waiting: list[Token] = []
        self._announced = 0
        self._reasoning_tokens = 0
        self._sent = 0
        self._created = int(time.time())
        self._completed: int | None = None

    def add(self, index: int, event: Event, *, keep: bool) -> None:
        """See the base. A stream tells its text once more at its end, so that it is always kept."""
        super().add(index, event, keep=keep and self._asked.votes)
        self._news = []
        if isinstance(event, Delta) and event.reasoning is None:
            self._keep(event)
        elif isinstance(event, Delta):
            self._keep_reasoning(event.reasoning or "", event.tokens)
        elif isinstance(event, Finished):
            self._end(event)

    def _keep_reasoning(self, text: str, tokens: Sequence[Token]) -> None:
        self._reasoning_tokens += len(tokens)
        if not (text or (self._asked.votes and tokens)):
            return
        if not isinstance(self._last, ReasoningItem):
            self._items.append(ReasoningItem(len(self._items), self._request_id))
        self._tell(text, tokens)

    def _keep(self, delta: Delta) -> None:
        self._waiting += delta.tokens if self._asked.votes else self._shown(delta.tokens)
        if delta.text:
            if not isinstance(self._last, MessageItem):
                self._open_message()
            self._tell_with_waiting(delta.text)
        for part in delta.calls:
            if part.name:
                self._open_call(part)
            if part.arguments:
                self._tell_with_waiting(part.arguments)
        if self._waiting and isinstance(self._last, MessageItem | CallItem):
            self._tell_with_waiting("")

    def _end(self, finished: Finished) -> None:
        cut = finished.reason in _CUT
        if not cut:
            self._completed = int(time.time())
        # One that was cut while the model still thought has no message.
        goes_on = self._waiting or not cut
        if self._last is None or (isinstance(self._last, ReasoningItem) and goes_on):
            self._open_message()
        if self._waiting:
            self._tell_with_waiting("")

    @property
    def _last(self) -> Item | None:
        return self._items[-1] if self._items else None

    def _open_message(self) -> None:
        self._items.append(MessageItem(len(self._items), self._request_id))

    def _open_call(self, part: CallPart) -> None:
        index = len(self._items)
        self._items.append(CallItem(index, self._request_id, part.call_id, part.name))

    def _tell_with_waiting(self, text: str) -> None:
        tokens, self._waiting = self._waiting, []
        self._tell(text, tokens)

    def _tell(self, text: str, tokens: Sequence[Token]) -> None:
        """Adds to the last item."""
        item = self._items[-1]
        item.add(text, self._shown(tokens))
        self._news.append(_News(item, text, tokens))

    def _shown(self, tokens: Sequence[Token]) -> Sequence[Token]:
        """Those whose log-probs are told where they are part of a message."""
        return [one for one in tokens if not one.control] if self._asked.logprobs else []

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        if isinstance(event, Accepted):
            told = {**self._response(IN_PROGRESS), NAME: self._begun(event)}
            for name in ("created", "in_progress"):
                piece = {"type": f"response.{name}", "response": told}
                # The tools that it repeats may be long.
                yield partial(dict, piece) if self._asked.repeated["tools"] else piece
            return
        for one in self._news:
            yield from self._beginnings(one.item.index + 1)
            yield from self._going_on(one)
        yield from self._beginnings(len(self._items))
        if isinstance(event, Finished):
            yield from self._items[-1].closing(self._status)
            yield self._closed

    def _beginnings(self, count: int) -> Iterator[Piece]:
        """Events of so many items that have begun; the one before each of them has ended."""
        for item in self._items[self._announced : count]:
            if item.index:
                yield from self._items[item.index - 1].closing(_COMPLETED)
            self._announced += 1
            yield from item.beginning()

    def _going_on(self, news: _News) -> Iterator[Piece]:
        told = news.item.going_on(news.text, self._shown(news.tokens))
        votes = self._votes(news.tokens) if news.tokens else {}
        yield {**told, NAME: votes} if votes else told

    def whole(self) -> dict[str, Any]:
        """See the base."""
        return {**self._ended(), NAME: self._told()}

    def _closed(self) -> dict[str, Any]:
        """The last event of a stream, which has told the votes already."""
        (choice,) = self.choices
        assert choice.accepted is not None and choice.finished is not None
        last = told_at_last(choice.finished, choice.notices)
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
