"""What answers of OpenAI's paths look like. Pure, and lean: one of these runs for every token."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from quorate.api.http.asking import Asked
from quorate.api.http.extension import NAME, told_at_last
from quorate.api.http.openai.logprobs import logprob_of, possible, told_logprobs
from quorate.api.http.openai.tools import FUNCTION
from quorate.api.http.shapes import Call, Choice, Piece, Shape
from quorate.request import (
    Accepted,
    CallPart,
    Delta,
    Event,
    Finished,
    FinishReason,
    Token,
)

FINISHES: Mapping[FinishReason, str] = {
    FinishReason.END_OF_GENERATION: "stop",
    FinishReason.STOP_STRING: "stop",
    FinishReason.MAX_TOKENS: "length",
    FinishReason.MAX_BYTES: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.TOOL_CALLS: "tool_calls",
}


class OpenAIShape(Shape):
    """What both kinds of answers have in common."""

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    piece_object: ClassVar[str]
    last = b"data: [DONE]\n\n"

    def __init__(self, asked: Asked, request_id: str) -> None:
        super().__init__(asked, request_id)
        self._created = int(time.time())

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        choice = self.choices[index]
        if isinstance(event, Accepted):
            told = self._begun(event)
            yield self._chunk(index, self._beginning(), None, told)
        elif isinstance(event, Delta):
            told = self._votes(event.tokens)
            for part in self._going_on(choice, event):
                yield self._chunk(index, part, None, told)
                told = {}
        elif isinstance(event, Finished):
            told = told_at_last(event, choice.notices)
            yield self._chunk(index, self._end(), FINISHES[event.reason], told)

    def endings(self) -> Iterable[Piece]:
        """See the base."""
        if self._asked.include_usage:
            yield {**self._head(self.piece_object), "choices": [], "usage": self._usage()}

    def whole(self) -> dict[str, Any]:
        """See the base."""
        return {
            **self._head(self.whole_object),
            "choices": [
                {
                    "index": index,
                    **self._content(choice),
                    "finish_reason": self._finish(choice),
                }
                for index, choice in enumerate(self.choices)
            ],
            "usage": self._usage(),
            NAME: self._told(),
        }

    def _chunk(
        self, index: int, part: Mapping[str, Any], finish: str | None, told: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        chunk = {
            **self._head(self.piece_object),
            "choices": [{"index": index, **part, "finish_reason": finish}],
        }
        if told:
            chunk[NAME] = told
        return chunk

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self._request_id}",
            "object": kind,
            "created": self._created,
            "model": self._name,
        }

    @staticmethod
    def _finish(choice: Choice) -> str | None:
        return None if choice.finished is None else FINISHES[choice.finished.reason]

    def _usage(self) -> Mapping[str, Any]:
        prompt, cached, generated = self._counts()
        return {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    @abstractmethod
    def _beginning(self) -> Mapping[str, Any]:
        """What the first chunk of a choice holds."""

    @abstractmethod
    def _going_on(self, choice: Choice, delta: Delta) -> Iterable[Mapping[str, Any]]:
        """What the chunks in its middle hold that tell of a piece of it."""

    @abstractmethod
    def _end(self) -> Mapping[str, Any]:
        """What its last chunk holds."""

    @abstractmethod
    def _content(self, choice: Choice) -> Mapping[str, Any]:
        """What a choice holds that is told whole."""


class ChatShape(OpenAIShape):
    """Answers of ``/v1/chat/completions``."""

    prefix = "chatcmpl"
    whole_object = "chat.completion"
    piece_object = "chat.completion.chunk"

    def _beginning(self) -> Mapping[str, Any]:
        return {"delta": {"role": "assistant", "content": ""}, "logprobs": None}

    def _going_on(self, choice: Choice, delta: Delta) -> Iterable[Mapping[str, Any]]:
        if delta.reasoning is not None:
            yield {"delta": {"reasoning_content": delta.reasoning}, "logprobs": None}
            return
        logprobs = self._logprobs(delta.tokens)
        for said in self._said(delta):
            yield {"delta": said, "logprobs": logprobs}
            logprobs = None

    def _said(self, delta: Delta) -> Sequence[Mapping[str, Any]]:
        said: list[Mapping[str, Any]] = [{"content": delta.text}] if delta.text else []
        said += [told for part in delta.calls for told in _told_part(part)]
        if not said and delta.tokens and (self._asked.logprobs or self._asked.votes):
            # Something has to hold what is told of the tokens.
            return [{"content": ""}]
        return said

    def _end(self) -> Mapping[str, Any]:
        return {"delta": {}, "logprobs": None}

    def _content(self, choice: Choice) -> Mapping[str, Any]:
        text = "".join(choice.texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if choice.calls and not text else text,
            "refusal": None,
        }
        if choice.calls:
            message["tool_calls"] = list(map(_told_call, choice.calls))
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        return {"message": message, "logprobs": self._logprobs(choice.tokens)}

    def _logprobs(self, tokens: Sequence[Token]) -> Mapping[str, Any] | None:
        if not self._asked.logprobs:
            return None
        return {"content": told_logprobs(tokens), "refusal": None}


class TextShape(OpenAIShape):
    """Answers of ``/v1/completions``."""

    prefix = "cmpl"
    whole_object = "text_completion"
    piece_object = "text_completion"

    def add(self, index: int, event: Event, *, keep: bool) -> None:
        """See the base; what a model says before its answer is part of a text."""
        super().add(index, _as_text(event), keep=keep)

    def pieces(self, index: int, event: Event) -> Iterable[Piece]:
        """See the base."""
        return super().pieces(index, _as_text(event))

    def _beginning(self) -> Mapping[str, Any]:
        return {"text": "", "logprobs": None}

    def _going_on(self, choice: Choice, delta: Delta) -> Iterable[Mapping[str, Any]]:
        yield {"text": delta.text, "logprobs": self._logprobs(choice, delta.tokens)}

    def _end(self) -> Mapping[str, Any]:
        return {"text": "", "logprobs": None}

    def _content(self, choice: Choice) -> Mapping[str, Any]:
        logprobs = self._logprobs(choice, choice.tokens)
        return {"text": "".join(choice.texts), "logprobs": logprobs}

    def _logprobs(self, choice: Choice, tokens: Sequence[Token]) -> Mapping[str, Any] | None:
        if not self._asked.logprobs:
            return None
        told = [token for token in tokens if not token.control]
        offsets = []
        for token in told:
            offsets.append(choice.characters)
            # A character that several tokens write begins with the first, and is there with the
            # last of them.
            choice.characters += len(choice.decoder.decode(token.piece))
        return {
            "tokens": [_name(token.piece) for token in told],
            "token_logprobs": [_known(token) for token in told],
            "top_logprobs": [
                None if math.isnan(token.logprob) else _candidates(token) for token in told
            ],
            "text_offset": offsets,
        }


def _told_call(call: Call) -> Mapping[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": FUNCTION, "function": function}


def _told_part(part: CallPart) -> Iterable[Mapping[str, Any]]:
    """A piece of a call: that it begins, and what its arguments go on with."""
    if part.name:
        begun = {**_told_call(Call(part.call_id, part.name)), "index": part.index}
        yield {"tool_calls": [begun]}
    if part.arguments:
        more = {"index": part.index, "function": {"arguments": part.arguments}}
        yield {"tool_calls": [more]}


def _as_text(event: Event) -> Event:
    if isinstance(event, Delta) and event.reasoning is not None:
        return replace(event, text=event.reasoning, reasoning=None)
    return event


def _name(piece: bytes) -> str:
    """A token as OpenAI names it, one of its own for each that is no whole text."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{one:02x}" for one in piece)


def _known(token: Token) -> float | None:
    """None where nothing stands before a token."""
    return None if math.isnan(token.logprob) else logprob_of(token)


def _candidates(token: Token) -> Mapping[str, float]:
    """The best come first, and keep a name that several have; the token is there beside them."""
    found: dict[str, float] = {}
    for one in possible(token):
        found.setdefault(_name(one.piece), one.logprob)
    if found:
        found.setdefault(_name(token.piece), logprob_of(token))
    return found
