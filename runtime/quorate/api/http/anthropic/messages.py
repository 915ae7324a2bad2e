"""The bodies of ``/v1/messages``. Pure.

What cannot be served and would change an answer is refused, all else passed over, as for the other
paths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import Asked, Context, Wording, asked_for, check_size
from quorate.api.http.extension import read_extension
from quorate.api.http.fields import Fields, kind_of
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message, SamplingOptions, StoppingOptions
from quorate.request.prompts import ASSISTANT, SYSTEM, USER

_NOT_SERVED: Mapping[str, Collection[Any]] = {
    "tools": ([],),
    "mcp_servers": ([],),
    "container": (),
}
_NOT_ASKED = frozenset({None, "disabled"})


def message_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    for name, harmless in _NOT_SERVED.items():
        if body.has(name) and body.any(name) not in harmless:
            raise InvalidRequest(name, "is not served here; leave it out")
    thinking = body.object("thinking")
    if thinking is not None and thinking.text("type") not in _NOT_ASKED:
        raise InvalidRequest("thinking", "is not served here; leave it out")
    if not body.has("max_tokens"):
        raise InvalidRequest("max_tokens", "is missing; say how many tokens the answer may have")
    extension = read_extension(body)
    prompt = replace(_prompt(body), allow_text=extension.allow_text)
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
            stop=_stops(body),
        ),
        extension=extension,
        stream=body.flag("stream") or False,
    )
    return asked_for(words, context)


def _prompt(body: Fields) -> ChatPrompt:
    if not body.has("messages"):
        raise InvalidRequest("messages", "is missing; give at least one message")
    return limits.chat("messages", _messages(body))


def _messages(body: Fields) -> Iterator[Message]:
    if body.has("system"):
        yield Message(SYSTEM, _content(body, "system"))
    for turn in body.objects("messages"):
        role = turn.text("role")
        if role not in (USER, ASSISTANT):
            raise InvalidRequest(turn.path("role"), f"must be {USER} or {ASSISTANT}")
        yield Message(role, _content(turn, "content"))


def _content(holder: Fields, name: str) -> str:
    if isinstance(holder.any(name), list):
        return "\n".join(_block(block) for block in holder.objects(name))
    text = holder.text(name)
    if text is None:
        raise InvalidRequest(holder.path(name), "is missing; give a text")
    return text


def _block(block: Fields) -> str:
    if block.text("type") != "text":
        raise InvalidRequest(block.path("type"), "is not text, which is all that is read here")
    return block.text("text") or ""


def _stops(body: Fields) -> tuple[str, ...]:
    strings = body.items("stop_sequences") or ()
    for index, stop in enumerate(strings):
        if not isinstance(stop, str):
            raise InvalidRequest(f"stop_sequences[{index}]", f"is {kind_of(stop)}; give a text")
    return limits.stop_strings("stop_sequences", strings)
