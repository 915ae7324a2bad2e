"""A model's own Jinja template.

It is part of a model file and therefore not trusted: it runs in Jinja's sandbox, with the limits of
``bounds``, inside the process that runs its model. The environment is the one templates are written
for, that of ``apply_chat_template`` in Hugging Face transformers
(``utils/chat_template_utils.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from quorate.engines.memory_bound import at_most
from quorate.errors import PromptTooLong, TemplateRefused, UnsupportedPlan
from quorate.request import Message

LONGEST_SOURCE = 1 << 20
"""Characters of a template; real ones have up to some ten thousand."""

_LONGEST_REASON = 300


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
        parts: frozenset[str] = frozenset(),
        opens_answer: bool = True,
        max_characters: int = LONGEST_VALUE,
    ) -> str:
        """Renders a chat.

        Args:
            messages: In their order.
            parts: Roles whose content is given as a list of parts.
            opens_answer: Whether what opens the answer is written behind it.
            max_characters: The most that may come of it; the template is stopped there.

        Raises:
            TemplateRefused: The template refuses these messages, or takes too long for them.
            PromptTooLong: It makes more of them than it may.
        """
        dicts = [_as_dict(message, parts) for message in messages]
        written: list[str] = []
        size = 0
        try:
            with limited():
                for piece in self._template.generate(
                    self._special_texts,
                    messages=dicts,
                    tools=None,
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


def _as_dict(message: Message, parts: frozenset[str]) -> dict[str, Any]:
    if message.role not in parts:
        return {"role": message.role, "content": message.content}
    return {"role": message.role, "content": [{"type": "text", "text": message.content}]}


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
