"""Tools and calls as texts, for templates that know none, or write calls in another way.

llama-server helps itself likewise (its generic handler of tools). What a model makes of it depends
on the model; that what it writes is a call, the grammar of the answer sees to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from quorate.engines.chat.tools import function_of, short_id
from quorate.request import Message, Tool, ToolCall
from quorate.request.prompts import BETWEEN_TURNS, SYSTEM, TOOL, USER
from quorate.request.tool_format import ID_SLOT, ToolFormat

_SHOWN = ToolCall("", "NAME", '{"ARGUMENT": "VALUE"}')


def as_texts(
    messages: Sequence[Message], tools: Sequence[Tool], written: ToolFormat
) -> list[Message]:
    """The same chat without tools: told of in a system message, calls and results written out."""
    turns = [_without_calls(message, written) for message in messages]
    if tools:
        told = _told_of(tools, written)
        if turns and turns[0].role == SYSTEM:
            turns[0] = Message(SYSTEM, BETWEEN_TURNS.join((turns[0].content, told)))
        else:
            turns.insert(0, Message(SYSTEM, told))
    return _joined(turns)


def _told_of(tools: Sequence[Tool], written: ToolFormat) -> str:
    described = (json.dumps(function_of(tool), ensure_ascii=False) for tool in tools)
    return "\n".join(
        (
            "You can call these functions, one JSON object each:",
            *described,
            "To call one, write nothing but this, with its name and arguments:",
            _calls((_SHOWN,), written),
            "You are given the result then. Where no function helps, answer in words.",
        )
    )


def _without_calls(message: Message, written: ToolFormat) -> Message:
    if message.role == TOOL:
        return Message(TOOL, f"Result of {message.name or 'the call'}:\n{message.content}")
    if not message.tool_calls:
        return message
    calls = _calls(message.tool_calls, written)
    text = f"{message.content}\n{calls}" if message.content else calls
    return Message(message.role, text)


def _calls(calls: Sequence[ToolCall], written: ToolFormat) -> str:
    """Calls as an answer writes them; beyond what the format knows, each from its beginning."""
    pieces, around = [], written.begin.lstrip()
    for at, call in enumerate(calls):
        last = at == len(calls) - 1
        behind = written.following if written.following and not last else written.end
        pieces.append(f"{around}{call.name}{written.between}{call.arguments}{behind}")
        pieces[-1] = pieces[-1].replace(ID_SLOT, short_id(call.call_id))
        around = "" if behind == written.following else f"\n{written.begin.lstrip()}"
    return "".join(pieces)


def _joined(turns: Sequence[Message]) -> list[Message]:
    """Results are the user's, in one message with what the user says behind them."""
    joined: list[Message] = []
    for told, group in groupby(turns, key=lambda turn: turn.role in (TOOL, USER)):
        found = [*group]
        if told and any(turn.role == TOOL for turn in found):
            found = [Message(USER, BETWEEN_TURNS.join(turn.content for turn in found))]
        joined += found
    return joined
