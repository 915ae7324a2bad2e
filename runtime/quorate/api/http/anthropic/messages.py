"""The bodies of ``/v1/messages``. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import Asked, Context, Wording, asked_for, check_size
from quorate.api.http.extension import NAME, read_extension
from quorate.api.http.fields import Fields
from quorate.api.http.forms import read_form
from quorate.api.http.unserved import refuse_not_served
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message, SamplingOptions, StoppingOptions
from quorate.request.prompts import ASSISTANT, SYSTEM, USER

_TEXT_PARTS = frozenset({"text"})
_NAMES = {"chat": "messages", "prompt": "messages", "stop": "stop_sequences"}


def message_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    prompt = messages_prompt(body)
    if not body.has("max_tokens"):
        raise InvalidRequest("max_tokens", "is missing; say how many tokens the answer may have")
    words = Wording(
        name=body.text("model") or "",
        prompts=(check_size("messages", prompt),),
        sampling=SamplingOptions(
            temperature=body.number("temperature"),
            top_p=body.number("top_p"),
            top_k=body.integer("top_k"),
        ),
        stopping=StoppingOptions(
            max_tokens=limits.positive("max_tokens", body.integer("max_tokens")),
            stop=limits.stop_strings("stop_sequences", body.texts("stop_sequences")),
        ),
        extension=read_extension(body),
        stream=body.flag("stream") or False,
        form=read_form(body, body.object(NAME)),
        names=_NAMES,
    )
    return asked_for(words, context)


def messages_prompt(body: Fields) -> ChatPrompt:
    """The chat of a body.

    Raises:
        InvalidRequest: There is none, too much of it, or something that is not served.
    """
    refuse_not_served(body)
    if not body.has("messages"):
        raise InvalidRequest("messages", "is missing; give at least one message")
    chat = limits.chat("messages", _messages(body))
    return replace(chat, allow_text=read_extension(body).allow_text)


def _messages(body: Fields) -> Iterator[Message]:
    if body.has("system"):
        yield Message(SYSTEM, _content(body, "system"))
    for turn in body.objects("messages"):
        role = turn.text("role")
        if role not in (USER, ASSISTANT):
            raise InvalidRequest(turn.path("role"), f"must be {USER} or {ASSISTANT}")
        yield Message(role, _content(turn, "content"))


def _content(holder: Fields, name: str) -> str:
    text = holder.joined_text(name, _TEXT_PARTS)
    if text is None:
        raise InvalidRequest(holder.path(name), "is missing; give a text")
    return text
