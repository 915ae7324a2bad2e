"""Tools of a body and calls in it, whatever the words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from quorate.access import limits, tools
from quorate.access.call_results import in_order_of_calls
from quorate.api.http.extension import read_extension
from quorate.api.http.fields import Fields
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message, Tool, ToolCall, ToolChoice, ToolMode

_CHOICE = "tool_choice"
# What OpenAI, Anthropic and the Model Context Protocol call the schema of a tool's arguments.
_SCHEMAS = ("parameters", "input_schema", "inputSchema")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a body, and which of them its answer may call.

    Attributes:
        given: All of them.
        allowed: Those that may be called.
        choice: How the answer may call them.
        schema: Where a tool has the schema of its arguments.
    """

    given: tuple[Tool, ...] = ()
    allowed: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    schema: str = "parameters"

    @property
    def shown(self) -> tuple[Tool, ...]:
        """Those that the prompt shows."""
        return () if self.choice.mode is ToolMode.NONE else self.allowed

    @property
    def names(self) -> Mapping[str, str]:
        """What the caller calls the schemas of those tools, by what they are called elsewhere."""
        places = {tool.name: at for at, tool in enumerate(self.given)}
        return {
            f"chat.tools[{at}].parameters": f"tools[{places[tool.name]}].{self.schema}"
            for at, tool in enumerate(self.shown)
        }


class Chosen(NamedTuple):
    """What a body says of calling tools.

    Attributes:
        kind: Of the choice, in the words of its protocol.
        path: Of the field that has the kind.
        holder: What says more of it.
    """

    kind: str
    path: str
    holder: Fields


def choice_of(body: Fields) -> Chosen:
    """What a body says of calling tools: an object of a type, or its type alone.

    Raises:
        InvalidRequest: It is neither.
    """
    kind = body.any(_CHOICE)
    if isinstance(kind, str):
        return Chosen(kind, _CHOICE, Fields({}, _CHOICE))
    holder = body.object(_CHOICE)
    if holder is None:
        return Chosen(ToolMode.AUTO.value, _CHOICE, Fields({}, _CHOICE))
    return Chosen(holder.text("type") or "", holder.path("type"), holder)


def chat_of(
    body: Fields, field: str, messages: Iterable[Message], offered: Tools, ids: str = ""
) -> ChatPrompt:
    """The chat of a body, of these messages and tools.

    Args:
        body: The body.
        field: Of the messages.
        messages: As they were read.
        offered: The tools.
        ids: As ``in_order_of_calls`` takes it.

    Raises:
        InvalidRequest: There are no messages, too many, or results that are those of no call.
    """
    chat = limits.chat(field, in_order_of_calls(field, messages, ids))
    return replace(chat, allow_text=read_extension(body).allow_text, tools=offered.shown)


def read_tool(place: Fields, parameters: str) -> Tool:
    """A tool.

    Args:
        place: What has its name and its description.
        parameters: Name of the field there that has the schema of its arguments.

    Raises:
        InvalidRequest: It is none, or too long.
    """
    for other in _SCHEMAS:
        # The model would be shown a tool that takes nothing.
        if other != parameters and place.has(other):
            problem = f"is not read here; give the schema as {parameters}"
            raise InvalidRequest(place.path(other), problem)
    schema = place.json_text(parameters, limits.MAX_CONSTRAINT_BYTES)
    return Tool(
        tools.tool_name(place.path("name"), place.text("name") or ""),
        tools.tool_description(place.path("description"), place.text("description") or ""),
        tools.tool_parameters(place.path(parameters), schema or ""),
        place.flag("strict") or False,
    )


def read_call(call_id: str, place: Fields, arguments: str) -> ToolCall:
    """A call of an earlier answer.

    Args:
        call_id: Its id.
        place: What has the name of the tool.
        arguments: Name of the field there that has what the tool was called with.

    Raises:
        InvalidRequest: It is none, or too long.
    """
    text = place.json_text(arguments, limits.MAX_ARGUMENTS_BYTES)
    return ToolCall(
        call_id,
        tools.tool_name(place.path("name"), place.text("name") or ""),
        tools.call_arguments(place.path(arguments), text or ""),
    )


def read_id(holder: Fields, name: str) -> str:
    """The id of a call; "" where there is none.

    Raises:
        InvalidRequest: It is too long.
    """
    return tools.tool_call_id(holder.path(name), holder.text(name) or "")


def needed_id(holder: Fields, name: str) -> str:
    """The id of a call.

    Raises:
        InvalidRequest: There is none, or it is too long.
    """
    return limits.filled(holder.path(name), read_id(holder, name), "give the id of the call")


def check_type(holder: Fields, served: str) -> None:
    """Something is of the type that is served, or of none in particular.

    Raises:
        InvalidRequest: It is of another one.
    """
    if (holder.text("type") or served) != served:
        raise InvalidRequest(holder.path("type"), f"is not served here; give the type {served}")
