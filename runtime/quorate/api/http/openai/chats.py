"""The bodies of ``/v1/chat/completions``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.access import limits, tools
from quorate.api.http.asking import Asked, Context, asked_for, check_size
from quorate.api.http.fields import Fields
from quorate.api.http.openai.tools import FUNCTION, read_calls, read_tools
from quorate.api.http.openai.wording import worded
from quorate.api.http.tools import Tools, chat_of, read_id
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message
from quorate.request.prompts import SYSTEM, TOOL

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
# The system under the name that OpenAI gives it.
_DEVELOPER = "developer"
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
    offered = chat_tools(body)
    prompt = check_size("messages", chat_prompt(body, offered))
    words = worded(body, context, (prompt,), _top_logprobs(body), _NAMES, _LIMITS, offered)
    return asked_for(words, context)


def chat_tools(body: Fields) -> Tools:
    """The tools of a body.

    Raises:
        InvalidRequest: One that can never be called, or a choice that can never be made.
    """
    return read_tools(body, within=FUNCTION)


def chat_prompt(body: Fields, offered: Tools) -> ChatPrompt:
    """The messages of a body, with its tools.

    Raises:
        InvalidRequest: There are none, too many, or some that are not read here.
    """
    if not body.has("messages"):
        raise InvalidRequest("messages", "is missing; give at least one message")
    messages = tools.checked_calls("messages", map(_message, body.objects("messages")))
    return chat_of(body, "messages", messages, offered, ids="tool_call_id")


def _message(turn: Fields) -> Message:
    role = turn.text("role") or ""
    # What tools and calls were called before they were.
    if role == FUNCTION:
        problem = f"is not read here; give the role {TOOL}, with tool_call_id"
        raise InvalidRequest(turn.path("role"), problem)
    if turn.has("function_call"):
        raise InvalidRequest(turn.path("function_call"), "is not read here; give tool_calls")
    text = turn.joined_text("content", _TEXT_PARTS) or ""
    if role == TOOL:
        return Message(TOOL, text, read_calls(turn), read_id(turn, "tool_call_id"), _name(turn))
    return Message(SYSTEM if role == _DEVELOPER else role, text, read_calls(turn))


def _name(turn: Fields) -> str:
    """The tool whose result a message is; "" where that is not said."""
    name = turn.text("name") or ""
    return tools.tool_name(turn.path("name"), name) if name else ""


def _top_logprobs(body: Fields) -> int | None:
    shown = body.integer("top_logprobs")
    if not body.flag("logprobs"):
        if shown:
            raise InvalidRequest("top_logprobs", "needs logprobs; set it to true")
        return None
    return limits.top_logprobs("top_logprobs", shown or 0)
