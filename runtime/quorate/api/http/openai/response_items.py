"""The items that an answer of ``/v1/responses`` is a list of. Pure, and lean, as the shape is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from quorate.api.http.openai.logprobs import told_logprobs
from quorate.api.http.shapes import Piece
from quorate.request import Token

IN_PROGRESS = "in_progress"


class Item(ABC):
    """One item of an answer, as far as it is there.

    Args:
        index: Its place in the answer.
        request_id: The id that the answer is known by.

    Attributes:
        prefix: Of its id.
        kind: Begins the names of its events.
    """

    prefix: ClassVar[str]
    kind: ClassVar[str]

    def __init__(self, index: int, request_id: str) -> None:
        self.index = index
        self.id = f"{self.prefix}_{request_id}_{index}"
        self.texts: list[str] = []

    def add(self, text: str, tokens: Iterable[Token]) -> None:
        """Notes a piece of it, and the tokens whose log-probs are told."""
        self.texts.append(text)

    def beginning(self) -> Iterable[Piece]:
        """The events that tell that it has begun."""
        yield {
            "type": "response.output_item.added",
            "output_index": self.index,
            "item": self._begun(),
        }

    def going_on(self, text: str, tokens: Sequence[Token]) -> dict[str, Any]:
        """The event that tells a piece of it; arguments as of ``add``."""
        return self._event(f"{self.kind}.delta", delta=text)

    def closing(self, status: str) -> Iterable[Piece]:
        """The events that tell that it has ended, each with all of it."""
        yield self._done
        yield lambda: {
            "type": "response.output_item.done",
            "output_index": self.index,
            "item": self.told(status),
        }

    @abstractmethod
    def told(self, status: str) -> dict[str, Any]:
        """All of it."""

    @abstractmethod
    def _begun(self) -> dict[str, Any]:
        """The item, before anything of it is there."""

    @abstractmethod
    def _done(self) -> dict[str, Any]:
        """The event that tells all of its text."""

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "item_id": self.id, "output_index": self.index, **more}


class TextItem(Item):
    """An item whose text is its only part."""

    def beginning(self) -> Iterable[Piece]:
        """See the base."""
        yield from super().beginning()
        yield self._event("response.content_part.added", part=self._empty_part())

    def closing(self, status: str) -> Iterable[Piece]:
        """See the base."""
        text_done, item_done = super().closing(status)
        yield text_done
        yield lambda: self._event("response.content_part.done", part=self._part())
        yield item_done

    def told(self, status: str) -> dict[str, Any]:
        """See the base."""
        return self._told(status, [self._part()])

    def _begun(self) -> dict[str, Any]:
        return self._told(IN_PROGRESS, [])

    def _done(self) -> dict[str, Any]:
        part = self._part()
        told = {name: part[name] for name in ("text", "logprobs") if name in part}
        return self._event(f"{self.kind}.done", **told)

    def _event(self, kind: str, **more: Any) -> dict[str, Any]:
        return super()._event(kind, content_index=0, **more)

    @abstractmethod
    def _told(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        """The item with this content."""

    @abstractmethod
    def _part(self) -> dict[str, Any]:
        """Its only part, as far as it is there."""

    @abstractmethod
    def _empty_part(self) -> dict[str, Any]:
        """Its only part, before anything of it is there."""


class MessageItem(TextItem):
    """The text of an answer."""

    prefix = "msg"
    kind = "response.output_text"

    def __init__(self, index: int, request_id: str) -> None:
        super().__init__(index, request_id)
        self._tokens: list[Token] = []

    def add(self, text: str, tokens: Iterable[Token]) -> None:
        """See the base."""
        super().add(text, tokens)
        self._tokens += tokens

    def going_on(self, text: str, tokens: Sequence[Token]) -> dict[str, Any]:
        """See the base."""
        return {**super().going_on(text, tokens), "logprobs": told_logprobs(tokens)}

    def _told(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        own = {"type": "message", "role": "assistant", "status": status, "content": content}
        return {"id": self.id, **own}

    def _part(self) -> dict[str, Any]:
        return _text_part("".join(self.texts), told_logprobs(self._tokens))

    def _empty_part(self) -> dict[str, Any]:
        return _text_part("", [])


class ReasoningItem(TextItem):
    """What the model thinks."""

    prefix = "rs"
    kind = "response.reasoning_text"

    def _told(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        own = {"type": "reasoning", "summary": [], "status": status, "content": content}
        return {"id": self.id, **own}

    def _part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": "".join(self.texts)}

    def _empty_part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": ""}


class CallItem(Item):
    """A call of a tool, whose text are its arguments.

    Args:
        index: As of the base.
        request_id: Likewise.
        call_id: By which its result refers to it.
        name: Of the tool.
    """

    prefix = "fc"
    kind = "response.function_call_arguments"

    def __init__(self, index: int, request_id: str, call_id: str, name: str) -> None:
        super().__init__(index, request_id)
        self._call_id = call_id
        self._name = name

    def told(self, status: str) -> dict[str, Any]:
        """See the base."""
        return self._told(status, "".join(self.texts))

    def _begun(self) -> dict[str, Any]:
        return self._told(IN_PROGRESS, "")

    def _done(self) -> dict[str, Any]:
        # Not all versions of OpenAI's own clients expect the name in it.
        told = {"name": self._name, "arguments": "".join(self.texts)}
        return self._event(f"{self.kind}.done", **told)

    def _told(self, status: str, arguments: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": arguments,
        }


def _text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
