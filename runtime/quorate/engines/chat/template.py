"""A model's own Jinja template.

It is part of a model file and therefore not trusted: it runs in Jinja's sandbox, with the limits of
``bounds``, inside the process that runs its model. The environment is the one templates are written
for, that of ``apply_chat_template`` in Hugging Face transformers
(``utils/chat_template_utils.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from quorate.engines.chat.bounds import (
    LONGEST_VALUE,
    RENDER_BYTES,
    BoundedEnvironment,
    Overrun,
    bound,
    limited,
)
from quorate.engines.chat.tools import function_of
from quorate.engines.memory_bound import at_most
from quorate.errors import PromptTooLong, TemplateRefused, UnsupportedPlan
from quorate.request import Message, Tool, ToolCall
from quorate.request.prompts import TOOL

LONGEST_SOURCE = 1 << 20
"""Characters of a template; real ones have up to some ten thousand."""

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class CallStyle:
    """How a template wants to be given calls.

    Attributes:
        arguments_as_text: Whether their arguments are JSON, and not an object.
        no_text: Whether a message of calls alone has no content, and not an empty one.
    """

    arguments_as_text: bool = False
    no_text: bool = False


AS_GIVEN = CallStyle()


class ChatTemplate:
    """A compiled template. Several threads may render it at once.

    Args:
        special_texts: Variables such as ``bos_token``.

    Raises:
        UnsupportedPlan: The template itself is broken.
    """

    def __init__(self, source: str, special_texts: Mapping[str, str], subject: str) -> None:
        self.source = source
        self._special_texts = dict(special_texts)
        environment = _environment()
        try:
            if len(source) > LONGEST_SOURCE:
                raise ValueError(f"it has more than {LONGEST_SOURCE} characters")
            with at_most(RENDER_BYTES):
                self.tree = environment.parse(source)
                self._template = environment.from_string(bound(environment.parse(source)))
        except Exception as error:
            raise UnsupportedPlan(
                subject, f"its chat template cannot be compiled: {_one_line(error)}"
            ) from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        parts: frozenset[str] = frozenset(),
        calls: CallStyle = AS_GIVEN,
        opens_answer: bool = True,
        max_characters: int = LONGEST_VALUE,
    ) -> str:
        """Renders a chat.

        Args:
            messages: In their order.
            tools: That the answer may call.
            parts: Roles whose content is given as a list of parts.
            calls: How calls are given.
            opens_answer: Whether what opens the answer is written behind it.
            max_characters: The most that may come of it; the template is stopped there.

        Raises:
            TemplateRefused: The template refuses these messages, or takes too long for them.
            PromptTooLong: It makes more of them than it may.
        """
        dicts = [_as_dict(message, parts, calls) for message in messages]
        written: list[str] = []
        size = 0
        try:
            with limited():
                for piece in self._template.generate(
                    self._special_texts,
                    messages=dicts,
                    tools=[*map(_tool, tools)] or None,
                    documents=None,
                    add_generation_prompt=opens_answer,
                ):
                    size += len(piece)
                    if size > max_characters:
                        break
                    written.append(piece)
        except Overrun as error:
            raise TemplateRefused("chat", f"its chat template was stopped: {error}") from error
        except MemoryError:
            problem = "it takes too much memory"
            raise TemplateRefused("chat", f"its chat template was stopped: {problem}") from Overrun(
                problem
            )
        # A template is a program: it may raise anything.
        except Exception as error:
            raise TemplateRefused(
                "chat", f"its chat template refuses these messages: {_one_line(error)}"
            ) from error
        if size > max_characters:
            raise PromptTooLong(
                "chat",
                f"the model's template makes more than {max_characters} characters of it, which is "
                "the most its context can hold",
            )
        return "".join(written)


def _as_dict(message: Message, parts: frozenset[str], style: CallStyle) -> dict[str, Any]:
    content: Any = message.content
    if message.role in parts:
        content = [{"type": "text", "text": content}]
    if message.tool_calls and not message.content and style.no_text:
        content = None
    found = {"role": message.role, "content": content}
    if message.tool_calls:
        found["tool_calls"] = [_call(one, style) for one in message.tool_calls]
    if message.role == TOOL:
        found |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return found


def _call(call: ToolCall, style: CallStyle) -> dict[str, Any]:
    arguments = call.arguments if style.arguments_as_text else json.loads(call.arguments)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _tool(tool: Tool) -> dict[str, Any]:
    return {"type": "function", "function": function_of(tool)}


class _GenerationBlock(Extension):
    """``{% generation %}`` marks the assistant's part for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration is not a ClassVar

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> BoundedEnvironment:
    environment = BoundedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlock, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it; Jinja's own filter would escape HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _one_line(error: Exception) -> str:
    """What went wrong, short enough for a status; templates write the text, whatever its length."""
    line = " ".join(str(error)[: 8 * _LONGEST_REASON].split()) or type(error).__name__
    if len(line) > _LONGEST_REASON:
        line = f"{line[:_LONGEST_REASON]}…"
    return line.encode("utf-8", errors="replace").decode()
