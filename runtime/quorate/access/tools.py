"""Limits of tools and of calls, as ``limits`` has them of other fields.

What has a name of its own in each API is checked alone, and ``tool`` and ``tool_call`` check all of
it under the names of the gRPC API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from quorate.access.limits import (
    MAX_ARGUMENTS_BYTES,
    MAX_CALL_ID_BYTES,
    MAX_CALLS,
    MAX_CONSTRAINT_BYTES,
    MAX_DESCRIPTION_BYTES,
    MAX_TOOL_BYTES_TOGETHER,
    MAX_TOOL_NAME_BYTES,
    MAX_TOOLS,
)
from quorate.errors import InvalidRequest
from quorate.foreign_text import one_line
from quorate.large_texts import utf8_size
from quorate.request import ConstraintKind, Message, Tool, ToolCall, ToolChoice, ToolMode
from quorate.request.prompts import ASSISTANT, TOOL
from quorate.request.tools import NO_PARAMETERS

_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_TOOL_NAME_BYTES}}}")
_DEEPEST = 64


def tool(field: str, name: str, description: str, parameters: str, strict: bool) -> Tool:
    """A tool with a name that can be written, and a schema of an object; "" is one of none."""
    return Tool(
        tool_name(f"{field}.name", name),
        tool_description(f"{field}.description", description),
        tool_parameters(f"{field}.parameters", parameters),
        strict,
    )


def tool_name(field: str, name: str) -> str:
    """The name of a tool."""
    if not _NAME.fullmatch(name):
        shown = repr(one_line(name, MAX_TOOL_NAME_BYTES)) if name else "empty"
        raise InvalidRequest(
            field, f"is {shown}; use up to {MAX_TOOL_NAME_BYTES} letters, digits, _, - and ."
        )
    return name


def tool_description(field: str, description: str) -> str:
    """What a tool does, in not too many words."""
    if utf8_size(description) > MAX_DESCRIPTION_BYTES:
        raise InvalidRequest(field, f"has more than {MAX_DESCRIPTION_BYTES} bytes; shorten it")
    return description


def tool_parameters(field: str, schema: str) -> str:
    """A JSON schema of arguments, which are an object; "" is the schema of none."""
    found = json_object(field, schema or NO_PARAMETERS, MAX_CONSTRAINT_BYTES)
    if found.get("type", "object") != "object":
        raise InvalidRequest(field, "is no schema of an object; arguments have names")
    return _written(field, {"type": "object", **found})


def tools(field: str, given: Iterable[Tool], named: str = "name") -> tuple[Tool, ...]:
    """Not too many tools, each with a name of its own, and schemas that are compiled together.

    Args:
        field: The list of them.
        given: The tools, of which no more are looked at than are allowed.
        named: Where the name of a tool stands in it.
    """
    found: dict[str, Tool] = {}
    schemas = together = 0
    for index, one in enumerate(given):
        if index == MAX_TOOLS:
            raise InvalidRequest(field, f"has more than {MAX_TOOLS} tools; send fewer")
        if one.name in found:
            raise InvalidRequest(f"{field}[{index}].{named}", f"is {one.name}, as another one's is")
        found[one.name] = one
        schemas += utf8_size(one.parameters)
        if schemas > MAX_CONSTRAINT_BYTES:
            problem = f"has schemas of more than {MAX_CONSTRAINT_BYTES} bytes together; send fewer"
            raise InvalidRequest(field, problem)
        together += len(one.name) + utf8_size(one.description) + utf8_size(one.parameters)
        if together > MAX_TOOL_BYTES_TOGETHER:
            problem = f"has more than {MAX_TOOL_BYTES_TOGETHER} bytes; send fewer"
            raise InvalidRequest(field, problem)
    return tuple(found.values())


def tool_call(field: str, call_id: str, name: str, arguments: str) -> ToolCall:
    """A call of an earlier answer; arguments that are "" are none."""
    return ToolCall(
        tool_call_id(f"{field}.id", call_id),
        tool_name(f"{field}.name", name),
        call_arguments(f"{field}.arguments", arguments),
    )


def tool_call_id(field: str, call_id: str) -> str:
    """An id of a call, which may be ""."""
    if utf8_size(call_id) > MAX_CALL_ID_BYTES:
        raise InvalidRequest(field, f"has more than {MAX_CALL_ID_BYTES} bytes")
    return call_id


def call_arguments(field: str, arguments: str) -> str:
    """The arguments of a call; "" is none."""
    text = arguments if arguments.strip() else "{}"
    return _written(field, json_object(field, text, MAX_ARGUMENTS_BYTES))


def tool_calls(field: str, given: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Not too many calls."""
    found = tuple(islice(given, MAX_CALLS + 1))
    if len(found) > MAX_CALLS:
        raise InvalidRequest(field, f"has more than {MAX_CALLS} calls; send fewer")
    return found


def checked_calls(field: str, messages: Iterable[Message]) -> Iterator[Message]:
    """The same messages, whose calls are the assistant's, and whose results those of tools."""
    for index, message in enumerate(messages):
        if message.tool_calls and message.role != ASSISTANT:
            raise InvalidRequest(f"{field}[{index}].tool_calls", f"are of the {ASSISTANT} alone")
        if message.tool_call_id and message.role != TOOL:
            raise InvalidRequest(f"{field}[{index}].tool_call_id", f"is of the role {TOOL} alone")
        yield message


def tool_choice(field: str, choice: ToolChoice, given: Sequence[Tool]) -> ToolChoice:
    """A choice among tools that there are."""
    if choice.mode is ToolMode.REQUIRED and not given:
        raise InvalidRequest(field, "asks for a call, and there are no tools; give some")
    if choice.name:
        known_tool(field, choice.name, given)
    return choice


def check_form(field: str, kind: ConstraintKind) -> None:
    """The form of an answer that may call tools instead is one of JSON."""
    if kind is not ConstraintKind.JSON_SCHEMA:
        problem = "and tools exclude each other; give a JSON schema, or a tool_choice of none"
        raise InvalidRequest(field, problem)


def known_tool(field: str, name: str, given: Iterable[Tool]) -> str:
    """The name of a tool that there is."""
    if not name:
        raise InvalidRequest(field, "is missing; give the name of a tool")
    if name not in {one.name for one in given}:
        raise InvalidRequest(field, f"names {one_line(name, 64)}, which is no tool here")
    return name


def json_object(field: str, text: str, most_bytes: int) -> dict[str, Any]:
    """A JSON object out of a text that is not too long, of values that are not nested too deep."""
    if utf8_size(text) > most_bytes:
        raise InvalidRequest(field, f"has more than {most_bytes} bytes")
    try:
        found = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        problem = f"is no JSON at character {error.pos}: {error.msg}"
        raise InvalidRequest(field, problem) from None
    except ValueError:
        raise _wrong_number(field) from None
    except RecursionError:
        raise InvalidRequest(field, "is nested too deep") from None
    if not isinstance(found, dict):
        raise InvalidRequest(field, "is no JSON object; give one")
    if not _within(found, _DEEPEST):
        raise InvalidRequest(field, "is nested too deep")
    return found


def _within(value: Any, depth: int) -> bool:
    """Whether a value is nested no deeper."""
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_within(part, depth - 1) for part in parts)


def _written(field: str, found: dict[str, Any]) -> str:
    """As JSON in which no character is escaped that need not be."""
    try:
        text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise _wrong_number(field) from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(field, "is not valid Unicode text") from None
    return text


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _wrong_number(field: str) -> InvalidRequest:
    return InvalidRequest(field, "has a number that is none of JSON, or that is too large")
