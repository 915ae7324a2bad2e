"""The bodies of ``/v1/messages``. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quorate.access import limits
from quorate.api.http.anthropic.tools import CALL, RESULT, read_calls, read_results, read_tools
from quorate.api.http.asking import Asked, Context, Wording, asked_for, check_size
from quorate.api.http.extension import NAME, read_extension
from quorate.api.http.fields import Fields
from quorate.api.http.forms import read_form
from quorate.api.http.tools import Tools, chat_of
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
    offered = read_tools(body)
    prompt = messages_prompt(body, offered)
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
        tools=offered,
        names=_NAMES,
    )
    return asked_for(words, context)


def messages_prompt(body: Fields, offered: Tools) -> ChatPrompt:
    """The chat of a body, with its tools.

    Raises:
        InvalidRequest: There is none, too much of it, or something that is not served.
    """
    refuse_not_served(body)
    if not body.has("messages"):
        raise InvalidRequest("messages", "is missing; give at least one message")
    return chat_of(body, "messages", _messages(body), offered)


def _messages(body: Fields) -> Iterator[Message]:
    if body.has("system"):
        yield Message(SYSTEM, _content(body, "system"))
    for turn in body.objects("messages"):
        role = turn.text("role")
        if role not in (USER, ASSISTANT):
            raise InvalidRequest(turn.path("role"), f"must be {USER} or {ASSISTANT}")
        if role == ASSISTANT:
            yield Message(ASSISTANT, _content(turn, "content", CALL), read_calls(turn))
        else:
            yield from _of_user(turn)


def _of_user(turn: Fields) -> Iterator[Message]:
    """Results of calls, and then the user's own text, where there is one."""
    text = _content(turn, "content", RESULT)
    results = [*read_results(turn)]
    yield from results
    if text or not results:
        yield Message(USER, text)


def _content(holder: Fields, name: str, *beside: str) -> str:
    text = holder.joined_text(name, _TEXT_PARTS, beside)
    if text is None:
        raise InvalidRequest(holder.path(name), "is missing; give a text")
    return text
