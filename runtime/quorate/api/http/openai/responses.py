"""The bodies of ``/v1/responses``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from quorate.access import limits, tools
from quorate.api.http.asking import Asked, Context, asked_for, check_size
from quorate.api.http.fields import Fields
from quorate.api.http.openai.tools import read_tools, told_choice, told_tools
from quorate.api.http.openai.wording import worded
from quorate.api.http.tools import Tools, chat_of, needed_id, read_call
from quorate.errors import InvalidRequest
from quorate.foreign_text import one_line
from quorate.request import ChatPrompt, Message
from quorate.request.prompts import ASSISTANT, SYSTEM, TOOL, USER

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_ROLES = {USER: USER, ASSISTANT: ASSISTANT, SYSTEM: SYSTEM, "developer": SYSTEM}
NAMES: Mapping[str, str] = dict.fromkeys(("chat", "prompt", "messages", "input"), "input")
"""What callers call fields that have other names elsewhere."""

_LIMITS = ("max_output_tokens",)
_ITEMS = ("message", "function_call", "function_call_output")
_LOGPROBS = "message.output_text.logprobs"

_LEAVE_OUT = "is not served here; leave it out"
_NOT_STORED = "refers to what was stored, and nothing is stored here; send all of it in input"
# What only this path has and is not served, each with the values that ask for nothing; ``unserved``
# has what others have too.
_NOT_SERVED: Mapping[str, tuple[Sequence[Any], str]] = {
    "previous_response_id": ((), _NOT_STORED),
    "conversation": ((), _NOT_STORED),
    "prompt": ((), _NOT_STORED),
    "background": ((False,), "is not served here: no answer is stored; leave it out"),
    "truncation": (("disabled",), "is not served here; leave it out, and send less input"),
    "context_management": (([],), _LEAVE_OUT),
    "moderation": ((), _LEAVE_OUT),
    "max_tool_calls": ((), _LEAVE_OUT),
    "echo": ((False,), "is for texts; ask /v1/completions"),
    "n": ((1,), "is not served here: a response is one answer; leave it out"),
    # Fields of other paths, which would be passed over here with what they ask for.
    "messages": ((), "is called input here; give that"),
    "max_tokens": ((), "is called max_output_tokens here; give that"),
    "max_completion_tokens": ((), "is called max_output_tokens here; give that"),
}
_HARMLESS_REASONING: Mapping[str, str] = {"effort": "none", "context": "auto", "mode": "standard"}
# As OpenAI limits them.
_MOST_METADATA = 16
_LONGEST_METADATA_NAME = 64
_LONGEST_METADATA = 512
_LONGEST_FORMAT_NAME = 64


def response_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    _refuse_not_served(body)
    offered = read_tools(body)
    prompt = check_size("input", _prompt(body, offered))
    top_logprobs = _top_logprobs(body)
    words = worded(body, context, (prompt,), top_logprobs, NAMES, _LIMITS, offered)
    return replace(asked_for(words, context), repeated=_repeated(body, top_logprobs, offered))


def _prompt(body: Fields, offered: Tools) -> ChatPrompt:
    given = body.any("input")
    if given is None or given == []:
        raise InvalidRequest("input", "is missing; give a text, or a list of messages")
    return chat_of(body, "input", _with_calls(_messages(body, given)), offered)


def _with_calls(messages: Iterable[Message]) -> Iterator[Message]:
    """Messages of which the assistant's has the calls that stand behind it."""
    last: Message | None = None
    for message in messages:
        if last is not None and last.role == ASSISTANT and message.tool_calls:
            calls = tools.tool_calls("input", (*last.tool_calls, *message.tool_calls))
            last = replace(last, tool_calls=calls)
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _messages(body: Fields, given: Any) -> Iterator[Message]:
    instructions = body.text("instructions")
    if instructions is not None:
        yield Message(SYSTEM, instructions)
    if isinstance(given, str):
        yield Message(USER, given)
        return
    if not isinstance(given, list):
        raise body.wrong("input", "a text, or a list of messages")
    for item in body.objects("input"):
        kind = item.text("type") or "message"
        # What a model thought before an earlier answer is no part of a chat.
        if kind != "reasoning":
            yield _message(item, kind)


def _message(item: Fields, kind: str) -> Message:
    if kind == "item_reference":
        problem = "refers to an item, and none is stored here; send the item itself"
        raise InvalidRequest(item.path("type"), problem)
    if kind not in _ITEMS:
        raise InvalidRequest(item.path("type"), f"is not read here; known: {', '.join(_ITEMS)}")
    if kind == "function_call":
        return Message(ASSISTANT, "", (read_call(needed_id(item, "call_id"), item, "arguments"),))
    if kind == "function_call_output":
        called = needed_id(item, "call_id")
        return Message(TOOL, _text(item, "output"), tool_call_id=called)
    role = item.text("role") or ""
    if role not in _ROLES:
        raise InvalidRequest(item.path("role"), f"must be one of {', '.join(_ROLES)}")
    return Message(_ROLES[role], _text(item, "content"))


def _text(item: Fields, name: str) -> str:
    text = item.joined_text(name, _TEXT_PARTS)
    if text is None:
        raise InvalidRequest(item.path(name), "is missing; give a text")
    return text


def _top_logprobs(body: Fields) -> int | None:
    shown = body.integer("top_logprobs")
    if _LOGPROBS not in body.texts("include"):
        if shown:
            raise InvalidRequest("top_logprobs", f"needs {_LOGPROBS} in include; add it")
        return None
    return limits.top_logprobs("top_logprobs", shown or 0)


def _refuse_not_served(body: Fields) -> None:
    for name, (harmless, problem) in _NOT_SERVED.items():
        if body.has(name) and body.any(name) not in harmless:
            raise InvalidRequest(name, problem)
    for holder, asks_for_nothing in _nested(body):
        for name in holder.names():
            if holder.has(name) and holder.any(name) != asks_for_nothing.get(name):
                raise InvalidRequest(holder.path(one_line(name, 64)), _LEAVE_OUT)


def _nested(body: Fields) -> Iterator[tuple[Fields, Mapping[str, Any]]]:
    """Objects whose fields change an answer, with the values of those that ask for nothing."""
    if reasoning := body.object("reasoning"):
        yield reasoning, _HARMLESS_REASONING
    if text := body.object("text"):
        yield text, {"format": text.any("format"), "verbosity": "medium"}


def _repeated(body: Fields, top_logprobs: int | None, offered: Tools) -> Mapping[str, Any]:
    """What an answer repeats of a body, which clients have in their types."""
    temperature, top_p = body.number("temperature"), body.number("top_p")
    return {
        "metadata": _metadata(body),
        "temperature": 1.0 if temperature is None else temperature,
        "top_p": 1.0 if top_p is None else top_p,
        "max_output_tokens": body.integer("max_output_tokens", lowest=-1),
        "top_logprobs": top_logprobs or 0,
        "text": {"format": _format(body)},
        "tools": told_tools(offered),
        "tool_choice": told_choice(offered),
        "parallel_tool_calls": offered.choice.parallel,
    }


def _format(body: Fields) -> Mapping[str, Any]:
    """The form, without what of it has no limit: the first events of a stream repeat it as well."""
    text = body.object("text")
    given = None if text is None else text.object("format")
    kind = None if given is None else given.text("type")
    if given is None or kind in (None, "text"):
        return {"type": "text"}
    name = given.text("name") or ""
    if len(name) > _LONGEST_FORMAT_NAME:
        problem = f"has more than {_LONGEST_FORMAT_NAME} characters"
        raise InvalidRequest(given.path("name"), problem)
    told = {"name": name, "schema": given.any("schema"), "strict": given.flag("strict")}
    return {"type": kind, **{one: value for one, value in told.items() if given.has(one)}}


def _metadata(body: Fields) -> Mapping[str, str]:
    given = body.object("metadata")
    if given is None:
        return {}
    names = given.names()
    if len(names) > _MOST_METADATA:
        problem = f"has {len(names)} entries; at most {_MOST_METADATA} are allowed"
        raise InvalidRequest("metadata", problem)
    found = {}
    for name in names:
        if len(name) > _LONGEST_METADATA_NAME:
            problem = f"has a name of more than {_LONGEST_METADATA_NAME} characters"
            raise InvalidRequest("metadata", problem)
        found[name] = given.text(name) or ""
        if len(found[name]) > _LONGEST_METADATA:
            problem = f"has more than {_LONGEST_METADATA} characters"
            raise InvalidRequest(given.path(one_line(name)), problem)
    return found
