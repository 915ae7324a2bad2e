"""Chats with their tools, calls and results, from protobuf to domain values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quorate.access import limits, tools
from quorate.access.call_results import in_order_of_calls
from quorate.api.grpc.translation.enums import by_number, known_value
from quorate.errors import InvalidRequest, Violations
from quorate.request import ChatPrompt, Message, Tool, ToolCall, ToolChoice, ToolMode
from quorate.request.prompts import TOOL
from quorate.v1 import inference_pb2

TOOL_MODES = by_number(ToolMode, inference_pb2.ToolMode, ToolMode.AUTO)

# Stand for what is refused.
_NO_CHAT = ChatPrompt(())
_NO_TOOLS: tuple[Tool, ...] = ()


def chat_prompt(message: inference_pb2.Chat) -> ChatPrompt:
    """Translates a chat.

    Raises:
        InvalidRequest: It has no messages, too many, or one without a role; or a tool, a call or a
            result is not as it must be.
    """
    told = Violations()
    chat = told.check(lambda: _messages(message), _NO_CHAT)
    given = told.check(lambda: tools.tools("chat.tools", _tools(message)), _NO_TOOLS)
    told.refuse()
    return replace(chat, allow_text=message.allow_text, tools=given)


def tool_choice(message: inference_pb2.GenerateRequest) -> ToolChoice:
    """Translates which tools an answer may call, of those that its chat names.

    Raises:
        InvalidRequest: The mode is unknown, or there is no such tool.
    """
    asked = message.tool_choice
    mode = known_value(TOOL_MODES, asked.mode, "tool_choice.mode", inference_pb2.ToolMode)
    named = [Tool(one.name) for one in message.chat.tools]
    choice = ToolChoice(mode, asked.name, parallel=not asked.one_call)
    return tools.tool_choice("tool_choice", choice, named)


def may_call(message: inference_pb2.GenerateRequest) -> bool:
    """Whether there is a tool that an answer may call."""
    return bool(message.chat.tools) and message.tool_choice.mode != inference_pb2.TOOL_MODE_NONE


def _messages(message: inference_pb2.Chat) -> ChatPrompt:
    field = "chat.messages"
    turns = (_turn(f"{field}[{at}]", turn) for at, turn in enumerate(message.messages))
    checked = tools.checked_calls(field, turns)
    return limits.chat(field, in_order_of_calls(field, checked, "tool_call_id"))


def _turn(field: str, turn: inference_pb2.ChatMessage) -> Message:
    if turn.name:
        if turn.role != TOOL:
            raise InvalidRequest(f"{field}.name", f"is of the role {TOOL} alone")
        tools.tool_name(f"{field}.name", turn.name)
    place = f"{field}.tool_calls"
    calls = tools.tool_calls(place, _calls(place, turn)) if turn.tool_calls else ()
    return Message(turn.role, turn.content, calls, turn.tool_call_id, turn.name)


def _calls(field: str, turn: inference_pb2.ChatMessage) -> Iterator[ToolCall]:
    for at, call in enumerate(turn.tool_calls):
        yield tools.tool_call(f"{field}[{at}]", call.id, call.name, call.arguments)


def _tools(message: inference_pb2.Chat) -> Iterator[Tool]:
    for at, one in enumerate(message.tools):
        field = f"chat.tools[{at}]"
        yield tools.tool(field, one.name, one.description, one.parameters, one.strict)
