"""How answers are told, whatever the words. Pure, and lean: one of these runs for every token."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from quorate.api.http.asking import Asked
from quorate.api.http.extension import told_at_first, told_at_last, votes_of
from quorate.request import Accepted, CallPart, Event, Finished, Notice, Token, Usage

Piece: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""An event of a stream; one that may be as long as the answer is a call that puts it together."""

_decoder = codecs.getincrementaldecoder("utf-8")


class Call:
    """A call of an answer, as far as it is there."""

    def __init__(self, call_id: str, name: str) -> None:
        self.call_id = call_id
        self.name = name
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        """A JSON object, as JSON, where the answer was not cut."""
        return "".join(self.pieces)


class Choice:
    """What one answer has come to so far.

    Attributes:
        decoder: Of the bytes of its tokens, those that were told.
        characters: How many of its text those are.
    """

    def __init__(self) -> None:
        self.decoder = _decoder(errors="replace")
        self.characters = 0
        self.accepted: Accepted | None = None
        self.finished: Finished | None = None
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[Call] = []
        self.tokens: list[Token] = []
        self.notices: list[Notice] = []

    def call(self, part: CallPart) -> None:
        """Notes a piece of a call."""
        if part.name:
            self.calls.append(Call(part.call_id, part.name))
        self.calls[-1].pieces.append(part.arguments)


class Shape(ABC):
    """How one answer is told, whole or piece by piece.

    Args:
        asked: What was asked for.
        request_id: The id that the answer is known by.

    Attributes:
        last: The bytes behind the last event of a stream.
    """

    last: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, request_id: str) -> None:
        self._asked = asked
        self._request_id = request_id
        self.choices = [Choice() for _ in asked.requests]

    def add(self, index: int, event: Event, *, keep: bool) -> None:
        """Notes an event of a choice; its text and tokens only where they are kept."""
        choice = self.choices[index]
        if isinstance(event, Accepted):
            choice.accepted = event
        elif isinstance(event, Notice):
            choice.notices.append(event)
        elif isinstance(event, Finished):
            choice.finished = event
        elif keep:
            if event.reasoning is None:
                choice.texts.append(event.text)
                choice.tokens += event.tokens
                for part in event.calls:
                    choice.call(part)
            else:
                choice.reasoning.append(event.reasoning)

    @abstractmethod
    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """The events of a stream that tell of one of ours; a ``type`` among them is their name."""

    def endings(self) -> Iterable[Piece]:
        """The events of a stream behind those of all choices."""
        return ()

    def as_sent(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """An event as it is sent, which is called for each in turn; an error is one as well.

        Args:
            told: One of ``pieces`` or ``endings``, or the body that an error is told with.
        """
        return told

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """The whole answer."""

    @property
    def _name(self) -> str:
        """The model as the caller named it, else the plan that was chosen."""
        accepted = next((one.accepted for one in self.choices if one.accepted is not None), None)
        return self._asked.name or ("" if accepted is None else accepted.decision.route.name)

    def _begun(self, accepted: Accepted) -> dict[str, Any]:
        """What is told when an answer begins."""
        return told_at_first(
            accepted.request_id, accepted.decision, candidates=self._asked.candidates
        )

    def _votes(self, tokens: Iterable[Token]) -> dict[str, Any]:
        return {"votes": list(map(votes_of, tokens))} if self._asked.votes else {}

    def _told(self) -> dict[str, Any]:
        """All that only Quorate knows of a whole answer."""
        told = []
        for choice in self.choices:
            assert choice.accepted is not None and choice.finished is not None
            first = self._begun(choice.accepted)
            last = told_at_last(choice.finished, choice.notices)
            told.append({**first, **last, **self._votes(choice.tokens)})
        return told[0] if len(told) == 1 else {"choices": told}

    def _counts(self) -> tuple[int, int, int]:
        """Tokens of prompts, those of them that were known already, and tokens of answers.

        Of all choices together; a prompt that they share counts once.
        """
        done = [one.finished.usage for one in self.choices if one.finished is not None]
        prompts: dict[int, Usage] = {}
        for request, usage in zip(self._asked.requests, done, strict=False):
            prompts.setdefault(id(request.prompt), usage)
        return (
            sum(usage.prompt_tokens for usage in prompts.values()),
            sum(usage.cached_prompt_tokens for usage in prompts.values()),
            sum(usage.generated_tokens for usage in done),
        )
