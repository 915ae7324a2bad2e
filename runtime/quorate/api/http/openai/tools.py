"""Tools, choices among them and calls as OpenAI writes them. Pure.

A chat has what it says of a function in an object within the tool; a response has it in the tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quorate.access import limits, tools
from quorate.api.http.fields import Fields
from quorate.api.http.tools import Tools, check_type, choice_of, read_call, read_id, read_tool
from quorate.errors import InvalidRequest
from quorate.foreign_text import one_line
from quorate.request import Tool, ToolCall, ToolChoice, ToolMode

FUNCTION = "function"
"""The type of all tools that are served, and the object that chats have within each."""

_ALLOWED = "allowed_tools"
_MODES = tuple(mode.value for mode in ToolMode)
_MODES_OF_ALLOWED = (ToolMode.AUTO.value, ToolMode.REQUIRED.value)


def read_tools(body: Fields, within: str = "") -> Tools:
    """The tools of a body, and which of them its answer may call.

    Args:
        body: The body.
        within: Name of the object within a tool that has its name; "" where the tool has it.

    Raises:
        InvalidRequest: A tool that can never be called, or a choice that can never be made.
    """
    named = f"{within}.name" if within else "name"
    given = tools.tools("tools", _tools(body, within), named)
    parallel = body.flag("parallel_tool_calls") is not False
    schema = f"{within}.parameters" if within else "parameters"
    chosen = choice_of(body)
    if chosen.kind == FUNCTION:
        place = _inside(chosen.holder, within)
        if place is chosen.holder and within and not place.has("name"):
            raise InvalidRequest(place.path(named), "is missing; give the name of a tool")
        name = _known(place, given)
        return Tools(given, given, ToolChoice(ToolMode.REQUIRED, name, parallel), schema)
    if chosen.kind == _ALLOWED:
        place = _inside(chosen.holder, _ALLOWED)
        mode = _mode(place.text("mode") or "", place.path("mode"), _MODES_OF_ALLOWED)
        allowed = _allowed(place, within, given)
        return Tools(given, allowed, ToolChoice(mode, parallel=parallel), schema)
    objects = f"an object of the type {FUNCTION} or {_ALLOWED}"
    mode = _mode(chosen.kind, chosen.path, _MODES, objects)
    choice = tools.tool_choice(chosen.path, ToolChoice(mode, parallel=parallel), given)
    return Tools(given, given, choice, schema)


def read_calls(turn: Fields) -> tuple[ToolCall, ...]:
    """The calls of a message of a chat.

    Raises:
        InvalidRequest: There are too many, or one that is none.
    """
    return tools.tool_calls(turn.path("tool_calls"), _calls(turn))


def told_tools(offered: Tools) -> Sequence[Mapping[str, Any]]:
    """Tools as a response repeats them."""
    return [
        {
            "type": FUNCTION,
            "name": one.name,
            "description": one.description or None,
            "parameters": json.loads(one.parameters),
            "strict": one.strict,
        }
        for one in offered.given
    ]


def told_choice(offered: Tools) -> str | Mapping[str, Any]:
    """A choice as a response repeats it."""
    choice = offered.choice
    if choice.name:
        return {"type": FUNCTION, "name": choice.name}
    if offered.allowed != offered.given:
        allowed = [{"type": FUNCTION, "name": one.name} for one in offered.allowed]
        return {"type": _ALLOWED, "mode": choice.mode.value, "tools": allowed}
    return choice.mode.value


def _tools(body: Fields, within: str) -> Iterator[Tool]:
    for one in body.objects("tools"):
        check_type(one, FUNCTION)
        yield read_tool(_inside(one, within), "parameters")


def _calls(turn: Fields) -> Iterator[ToolCall]:
    for call in turn.objects("tool_calls"):
        check_type(call, FUNCTION)
        yield read_call(read_id(call, "id"), _inside(call, FUNCTION), "arguments")


def _allowed(place: Fields, within: str, given: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """The tools of a list that may be called, in the order in which they were given."""
    names = set()
    for index, one in enumerate(place.objects("tools")):
        if index == limits.MAX_TOOLS:
            problem = f"has more than {limits.MAX_TOOLS} tools; name each once"
            raise InvalidRequest(place.path("tools"), problem)
        check_type(one, FUNCTION)
        names.add(_known(_inside(one, within), given))
    if not names:
        problem = f"is empty; set tool_choice to {ToolMode.NONE.value} where none may be called"
        raise InvalidRequest(place.path("tools"), problem)
    return tuple(one for one in given if one.name in names)


def _known(place: Fields, given: Sequence[Tool]) -> str:
    return tools.known_tool(place.path("name"), place.text("name") or "", given)


def _mode(said: str, path: str, modes: Sequence[str], *others: str) -> ToolMode:
    """A mode by its name; ``others`` are further ways to choose, for the error."""
    if said not in modes:
        known = ", ".join((*modes, *others))
        told = f"is {one_line(said, 64)!r}, which is not served here; known: {known}"
        raise InvalidRequest(path, told)
    return ToolMode(said)


def _inside(holder: Fields, name: str) -> Fields:
    """An object within another one, or that one where there is none."""
    found = holder.object(name) if name else None
    return holder if found is None else found
