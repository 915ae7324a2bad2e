"""The bodies of ``/v1/chat/completions``. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import Asked, Context, asked_for, check_size
from quorate.api.http.extension import read_extension
from quorate.api.http.fields import Fields
from quorate.api.http.openai.wording import worded
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message
from quorate.request.prompts import SYSTEM

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
# The system under the name that OpenAI gives it.
_DEVELOPER = "developer"
_OF_TOOLS = frozenset({"tool", "function"})


def chat_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    prompt = check_size("messages", chat_prompt(body))
    limit = "max_completion_tokens" if body.has("max_completion_tokens") else "max_tokens"
    return asked_for(worded(body, (prompt,), _top_logprobs(body), limit), context)


def chat_prompt(body: Fields) -> ChatPrompt:
    """The messages of a body.

    Raises:
        InvalidRequest: There are none, too many, or some that are not read here.
    """
    if not body.has("messages"):
        raise InvalidRequest("messages", "is missing; give at least one message")
    chat = limits.chat("messages", _messages(body))
    return replace(chat, allow_text=read_extension(body).allow_text)


def _messages(body: Fields) -> Iterator[Message]:
    for turn in body.objects("messages"):
        role = turn.text("role") or ""
        if role in _OF_TOOLS or turn.has("tool_calls"):
            raise InvalidRequest(turn.path("role"), "speaks of tools, which are not served here")
        yield Message(SYSTEM if role == _DEVELOPER else role, _content(turn))


def _content(turn: Fields) -> str:
    if isinstance(turn.any("content"), list):
        return "\n".join(_part(part) for part in turn.objects("content"))
    return turn.text("content") or ""


def _part(part: Fields) -> str:
    kind = part.text("type") or "text"
    if kind not in _TEXT_PARTS:
        raise InvalidRequest(part.path("type"), "is not text, which is all that is read here")
    return part.text("text") or ""


def _top_logprobs(body: Fields) -> int | None:
    shown = body.integer("top_logprobs")
    if not body.flag("logprobs"):
        if shown:
            raise InvalidRequest("top_logprobs", "needs logprobs; set it to true")
        return None
    return limits.top_logprobs("top_logprobs", shown or 0)
