"""Chats, and the tools that their answers may call, from plain values in our form or OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorate.client.filling import enum_of, json_text, list_of, refusing
from quorate.errors import InvalidRequest
from quorate.foreign_text import quoted
from quorate.v1 import inference_pb2

_TURN = ("role", "content", "tool_calls", "tool_call_id", "name")
_TOOL = ("name", "description", "parameters", "strict")
_CALL = ("id", "name", "arguments")
_MODES = ("auto", "none", "required")


def fill_chat(chat: inference_pb2.Chat, given: Mapping[str, Any]) -> None:
    """Sets messages and tools.

    Raises:
        InvalidRequest: A value that no message can hold, or one with a key that nobody knows.
    """
    chat.SetInParent()
    with refusing("messages"):
        for at, turn in enumerate(list_of(given, "messages")):
            if isinstance(turn, Mapping):
                _fill_turn(chat.messages.add(), f"messages[{at}]", turn)
            else:
                role, content = turn
                chat.messages.add(role=role, content=content)
    with refusing("tools"):
        for at, tool in enumerate(list_of(given, "tools")):
            _add_tool(chat, f"tools[{at}]", tool)


def fill_tool_choice(choice: inference_pb2.ToolChoice, given: Mapping[str, Any]) -> None:
    """Sets which tools an answer may call, where that is given.

    Raises:
        InvalidRequest: A value that no message can hold.
    """
    asked = given.get("tool_choice", "auto")
    with refusing("tool_choice"):
        if asked in _MODES:
            choice.mode = enum_of("tool_choice", asked, inference_pb2.ToolMode)
        elif asked:
            choice.mode, choice.name = inference_pb2.TOOL_MODE_REQUIRED, asked
        else:
            raise ValueError(f"is {asked!r}; choose one of {', '.join(_MODES)}, or name a tool")
    with refusing("parallel_calls"):
        choice.one_call = not given.get("parallel_calls", True)


def _fill_turn(target: inference_pb2.ChatMessage, name: str, given: Mapping[str, Any]) -> None:
    turn = _known(name, given, _TURN)
    calls = list_of(turn, "tool_calls")
    turn.pop("tool_calls", None)
    with refusing(name):
        target.MergeFrom(inference_pb2.ChatMessage(**turn))
        for at, call in enumerate(calls):
            _add_call(target, f"{name}.tool_calls[{at}]", call)


def _add_call(target: inference_pb2.ChatMessage, name: str, given: Any) -> None:
    call = _known(name, _function(name, given), _CALL)
    with refusing(name):
        target.tool_calls.add(**{**call, "arguments": json_text(call.get("arguments", ""))})


def _add_tool(chat: inference_pb2.Chat, name: str, given: Any) -> None:
    tool = _known(name, _function(name, given), _TOOL)
    with refusing(name):
        chat.tools.add(**{**tool, "parameters": json_text(tool.get("parameters", ""))})


def _function(name: str, given: Any) -> Mapping[str, Any]:
    """What is said of a function, also where it stands within an object of its type."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(name, f"is {quoted(str(given))}; give a mapping")
    outer = {**given}
    kind = outer.pop("type", "function")
    if kind != "function":
        raise InvalidRequest(name, f"is of the type {quoted(str(kind))}; only functions are called")
    inner = outer.pop("function", {})
    return {**outer, **inner}


def _known(name: str, given: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """What is given; None is not."""
    found = {key: value for key, value in given.items() if value is not None}
    for key in found:
        if key not in known:
            raise InvalidRequest(name, f"has {quoted(str(key))}; known: {', '.join(known)}")
    return found
