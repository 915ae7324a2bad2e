"""Chats as tokens: a model's own Jinja template, with user text kept from forging special tokens.

A template is part of a model file and therefore not trusted: it runs in Jinja's sandbox, inside the
process that runs its model. The environment is the one templates are written for, that of
``apply_chat_template`` in Hugging Face transformers (``utils/chat_template_utils.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeAlias

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from quorate.errors import InvalidRequest, PromptTooLong, UnsupportedPlan
from quorate.request import Message

Run: TypeAlias = int | str
"""A special token's id, or text in which nothing is special."""

# Roles that templates mean when they write '<|' + role + '|>'.
_COMMON_ROLES = frozenset({"system", "developer", "user", "assistant", "model", "tool", "function"})
_WHITESPACE = " \t\n\v\f\r"
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token that only a template may write.

    Attributes:
        text: How templates write it.
        strips_left: White space before it disappears.
        strips_right: White space after it disappears.
    """

    token: int
    text: str
    strips_left: bool = False
    strips_right: bool = False


class ChatTemplate:
    """A compiled template.

    Args:
        special_texts: Variables such as ``bos_token``.

    Raises:
        UnsupportedPlan: The template itself is broken.
    """

    def __init__(self, source: str, special_texts: Mapping[str, str], subject: str) -> None:
        self.source = source
        self._special_texts = dict(special_texts)
        try:
            self._template = _environment().from_string(source)
        except Exception as error:
            raise UnsupportedPlan(
                subject, f"its chat template cannot be compiled: {_one_line(error)}"
            ) from error

    def render(self, messages: Sequence[Message]) -> str:
        """Renders a chat up to where the answer begins.

        Raises:
            InvalidRequest: The template refuses these messages.
        """
        dicts = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                self._special_texts,
                messages=dicts,
                tools=None,
                documents=None,
                add_generation_prompt=True,
            )
        # A template is a program: it may raise anything.
        except Exception as error:
            raise InvalidRequest(
                "chat", f"the model's template refuses it: {_one_line(error)}"
            ) from error


class ChatEncoder:
    """Turns chats into tokens.

    Args:
        specials: The tokens that user text must not be able to write.
        encode_run: Tokenises text in which nothing is special, as the model does after a special
            token.
        bos: Id put before every prompt, or None.
        max_characters: A longer rendered chat is refused before it is tokenised: what a template
            writes need not have anything to do with how much it was given.
    """

    def __init__(
        self,
        template: ChatTemplate,
        specials: Iterable[SpecialToken],
        encode_run: Callable[[str], list[int]],
        bos: int | None,
        max_characters: int,
    ) -> None:
        self._template = template
        # Longest first, so that no special token hides inside another.
        self._specials = sorted(specials, key=lambda special: -len(special.text))
        self._encode_run = encode_run
        self._bos = bos
        self._max_characters = max_characters

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Renders and tokenises a chat, with exactly one BOS where the model wants one.

        Raises:
            InvalidRequest: The template refuses these messages.
            PromptTooLong: It makes more of them than a prompt can be.
        """
        texts = [text for message in messages for text in (message.role, message.content)]
        sentinel = _absent_character("".join((self._template.source, *texts)))
        shielded = [
            Message(
                self._shield_role(message.role, sentinel), self._shield(message.content, sentinel)
            )
            for message in messages
        ]
        rendered = self._template.render(shielded)
        if len(rendered) > self._max_characters:
            raise PromptTooLong(
                "chat",
                f"the model's template makes {len(rendered)} characters of it; "
                f"{self._max_characters} is the most its context can hold",
            )
        tokens: list[int] = []
        for run in partition(rendered, self._specials):
            if isinstance(run, int):
                tokens.append(run)
            elif text := run.replace(sentinel, ""):
                tokens.extend(self._encode_run(text))
        if self._bos is not None and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tokens

    def _shield(self, text: str, sentinel: str) -> str:
        """Breaks every special token in a text, and every half of one at its ends.

        A half could be completed by what the template puts beside it. The sentinel goes inside the
        white space at the ends, which templates like to trim.
        """
        texts = [special.text for special in self._specials]
        for special in texts:
            if special in text:
                text = text.replace(special, special[0] + sentinel + special[1:])
        core = text.strip()
        if not core:
            return text
        start = text.index(core)
        end = start + len(core)
        before = sentinel if any(_ends_inside(special, core) for special in texts) else ""
        after = sentinel if any(_begins_inside(special, core) for special in texts) else ""
        return text[:start] + before + core + after + text[end:]

    def _shield_role(self, role: str, sentinel: str) -> str:
        """As ``_shield``; also breaks a role which is the middle of a special token."""
        if role in _COMMON_ROLES:
            return role
        if any(role in special.text for special in self._specials):
            return role[:1] + sentinel + role[1:]
        return self._shield(role, sentinel)


def partition(text: str, specials: Sequence[SpecialToken]) -> list[Run]:
    """Divides rendered text into special tokens and the runs of text between them.

    The order is llama.cpp's (``tokenizer_st_partition``): one special token after the other, the
    longest first as they are given, over all that is still text. Empty runs are left out.
    """
    runs: list[Run] = [text]
    for special in specials:
        if special.text in text:
            runs = [part for run in runs for part in _split(run, special)]
    return [run for run in runs if run != ""]


def _split(run: Run, special: SpecialToken) -> list[Run]:
    if isinstance(run, int):
        return [run]
    pieces = run.split(special.text)
    parts: list[Run] = []
    for index, piece in enumerate(pieces):
        if special.strips_right and index > 0:
            piece = piece.lstrip(_WHITESPACE)
        if special.strips_left and index < len(pieces) - 1:
            piece = piece.rstrip(_WHITESPACE)
        parts += [special.token, piece] if index > 0 else [piece]
    return parts


def _ends_inside(special: str, core: str) -> bool:
    """Whether a proper end of the special token begins the text."""
    return any(core.startswith(special[cut:]) for cut in range(1, len(special)))


def _begins_inside(special: str, core: str) -> bool:
    """Whether a proper beginning of the special token ends the text."""
    return any(core.endswith(special[:cut]) for cut in range(1, len(special)))


def _absent_character(text: str) -> str:
    """A private-use character that does not occur: U+E000 and on, then planes 15 and 16."""
    used = set(text)
    for first, last in ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)):
        for code_point in range(first, last + 1):
            if chr(code_point) not in used:
                return chr(code_point)
    raise InvalidRequest("chat", "uses every private-use character of Unicode; leave one out")


class _GenerationBlock(Extension):
    """``{% generation %}`` marks the assistant's part for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration is not a ClassVar

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
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
    line = " ".join(str(error).split()) or type(error).__name__
    if len(line) > _LONGEST_REASON:
        line = f"{line[:_LONGEST_REASON]}…"
    return line.encode("utf-8", errors="replace").decode()
