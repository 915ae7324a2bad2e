"""Tools and calls as they are given to a template: none of their texts forges a special token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from quorate.request import Message, Tool, ToolCall
from quorate.request.tool_format import ID_CHARACTERS

Shield: TypeAlias = Callable[[str], str]
"""Breaks what would be a special token in a text."""


def texts_of(turn: Message) -> Iterator[str]:
    """All that a caller wrote in a turn."""
    yield turn.role
    yield turn.content
    yield turn.tool_call_id
    yield turn.name
    for call in turn.tool_calls:
        yield from call.texts


def shielded_turn(turn: Message, role: str, shield: Shield) -> Message:
    """A turn under another role, with its texts shielded."""
    calls = tuple(
        ToolCall(shield(call.call_id), shield(call.name), _shielded_json(call.arguments, shield))
        for call in turn.tool_calls
    )
    return Message(role, shield(turn.content), calls, shield(turn.tool_call_id), shield(turn.name))


def shielded_tool(tool: Tool, shield: Shield) -> Tool:
    """A tool with its texts shielded."""
    return replace(
        tool,
        name=shield(tool.name),
        description=shield(tool.description),
        parameters=_shielded_json(tool.parameters, shield),
    )


def function_of(tool: Tool) -> dict[str, Any]:
    """A tool as OpenAI describes functions, which is what templates are written for."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
    }


def speaks_of_tools(messages: Sequence[Message], tools: Sequence[Tool]) -> bool:
    """Whether there are tools, calls or results of calls."""
    return bool(tools) or any(turn.of_tools for turn in messages)


def with_short_ids(turn: Message) -> Message:
    """A turn with ids of as many letters and digits as strict templates want, made from its own."""
    calls = tuple(replace(call, call_id=short_id(call.call_id)) for call in turn.tool_calls)
    answered = short_id(turn.tool_call_id) if turn.tool_call_id else ""
    return replace(turn, tool_calls=calls, tool_call_id=answered)


class Numbered(NamedTuple):
    """A chat whose texts are numbers, each of them once.

    Attributes:
        told: What the number of a tool, of a call or of its arguments stands for.
    """

    turns: Sequence[Message]
    tools: Sequence[Tool]
    told: Mapping[str, str]


def numbered(turns: Sequence[Message], tools: Sequence[Tool]) -> Numbered:
    """The same chat of numbers between marks: m0 for a message, t0, c0 and a0 for ``told``."""
    told = {f"t{at}": f"tool {tool.name}" for at, tool in enumerate(tools)}
    made: list[Message] = []
    for at, turn in enumerate(turns):
        calls = []
        for call in turn.tool_calls:
            number = len(told)
            told[f"c{number}"] = told[f"a{number}"] = f"a call of {call.name}"
            arguments = f'{{"qza{number}zq": 0}}'
            calls.append(replace(call, name=f"qzc{number}zq", arguments=arguments))
        made.append(replace(turn, content=_number(turn, at), tool_calls=tuple(calls)))
    return Numbered(made, [replace(tool, name=f"qzt{at}zq") for at, tool in enumerate(tools)], told)


def _number(turn: Message, at: int) -> str:
    """The number of a message; nothing where it has no text, which templates tell apart."""
    return f"qzm{at}zq" if turn.content or not turn.tool_calls else ""


def _shielded_json(text: str, shield: Shield) -> str:
    """JSON whose texts are shielded as they are behind their escapes."""
    return json.dumps(_shielded(json.loads(text), shield), ensure_ascii=False)


def _shielded(value: Any, shield: Shield) -> Any:
    if isinstance(value, str):
        return shield(value)
    if isinstance(value, dict):
        return {shield(name): _shielded(one, shield) for name, one in value.items()}
    if isinstance(value, list):
        return [_shielded(one, shield) for one in value]
    return value


def short_id(call_id: str) -> str:
    """An id of as many letters and digits as strict templates want, the same for the same one."""
    if len(call_id) == ID_CHARACTERS and call_id.isascii() and call_id.isalnum():
        return call_id
    return hashlib.sha256(call_id.encode(errors="replace")).hexdigest()[:ID_CHARACTERS]
