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
_NAMES = {"chat": "messages", "prompt": "messages"}
_LIMITS = ("max_completion_tokens", "max_tokens", "n_predict")


def chat_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    if body.flag("echo"):
        raise InvalidRequest("echo", "is for texts; ask /v1/completions")
    prompt = check_size("messages", chat_prompt(body))
    words = worded(body, context, (prompt,), _top_logprobs(body), _NAMES, _LIMITS)
    return asked_for(words, context)


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
        # Clients that keep what they were told keep an empty list of calls as well.
        calls = turn.has("tool_calls") and turn.any("tool_calls") != []
        if role in _OF_TOOLS or calls:
            raise InvalidRequest(turn.path("role"), "speaks of tools, which are not served here")
        text = turn.joined_text("content", _TEXT_PARTS) or ""
        yield Message(SYSTEM if role == _DEVELOPER else role, text)


def _top_logprobs(body: Fields) -> int | None:
    shown = body.integer("top_logprobs")
    if not body.flag("logprobs"):
        if shown:
            raise InvalidRequest("top_logprobs", "needs logprobs; set it to true")
        return None
    return limits.top_logprobs("top_logprobs", shown or 0)
