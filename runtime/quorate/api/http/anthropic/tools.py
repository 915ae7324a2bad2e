"""Tools, choices among them, calls and results as Anthropic writes them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.access import tools
from quorate.api.http.fields import Fields
from quorate.api.http.tools import Tools, check_type, choice_of, needed_id, read_call, read_tool
from quorate.errors import InvalidRequest
from quorate.request import Message, Tool, ToolCall, ToolChoice, ToolMode
from quorate.request.prompts import TOOL

CALL, RESULT = "tool_use", "tool_result"
"""Types of blocks."""

_MODES = {"auto": ToolMode.AUTO, "any": ToolMode.REQUIRED, "none": ToolMode.NONE}
_ONE = "tool"
_SCHEMA = "input_schema"
_TEXT_PARTS = frozenset({"text"})


def read_tools(body: Fields) -> Tools:
    """The tools of a body, and which of them its answer may call.

    Raises:
        InvalidRequest: A tool that can never be called, or a choice that can never be made.
    """
    given = tools.tools("tools", _tools(body))
    return Tools(given, given, _choice(body, given), schema=_SCHEMA)


def read_calls(turn: Fields) -> tuple[ToolCall, ...]:
    """The calls in a turn of the assistant.

    Raises:
        InvalidRequest: There are too many, or one that is none.
    """
    calls = (read_call(needed_id(block, "id"), block, "input") for block in _blocks(turn, CALL))
    return tools.tool_calls(turn.path("content"), calls)


def read_results(turn: Fields) -> Iterator[Message]:
    """The results in a turn of the user, in their order; a failure is told by its text alone.

    Raises:
        InvalidRequest: One of them is none of a call, or no text.
    """
    for block in _blocks(turn, RESULT):
        block.flag("is_error")
        text = block.joined_text("content", _TEXT_PARTS) or ""
        yield Message(TOOL, text, tool_call_id=needed_id(block, "tool_use_id"))


def _tools(body: Fields) -> Iterator[Tool]:
    for one in body.objects("tools"):
        # Those of other types run where they are served.
        check_type(one, "custom")
        yield read_tool(one, _SCHEMA)


def _choice(body: Fields, given: tuple[Tool, ...]) -> ToolChoice:
    chosen = choice_of(body)
    parallel = not chosen.holder.flag("disable_parallel_tool_use")
    if chosen.kind == _ONE:
        place = chosen.holder
        name = tools.known_tool(place.path("name"), place.text("name") or "", given)
        return ToolChoice(ToolMode.REQUIRED, name, parallel)
    if chosen.kind not in _MODES:
        known = ", ".join((*_MODES, _ONE))
        raise InvalidRequest(chosen.path, f"is not served here; known: {known}")
    choice = ToolChoice(_MODES[chosen.kind], parallel=parallel)
    return tools.tool_choice(chosen.path, choice, given)


def _blocks(turn: Fields, kind: str) -> Iterator[Fields]:
    """The blocks of a type; a content that is a text has none."""
    if isinstance(turn.any("content"), list):
        yield from (block for block in turn.objects("content") if block.text("type") == kind)
