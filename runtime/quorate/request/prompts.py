"""What is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TypeAlias

from quorate.large_texts import json_string, utf8_size
from quorate.request.tool_format import AS_TEMPLATE, ToolFormat
from quorate.request.tools import Tool, ToolCall

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
"""Roles that mean the same in every chat template, where it knows them."""

BETWEEN_TURNS = "\n\n"
"""Between the texts of turns that are read as one."""

_TURN_TOKENS = 8
_FRAME_TOKENS = 64
# What templates write around a tool or a call, and to say how calls are made.
_TOOL_TOKENS = 64
_TOOLS_TOKENS = 512


class _Written(ABC):
    """What a text and a chat tell of themselves in the same way.

    Sizes are counted where a prompt is made, which for a large one is not on the event loop.
    """

    # No field: neither compared nor sent to workers.
    __slots__ = ("_size_bytes",)
    _size_bytes: int

    @property
    @abstractmethod
    def texts(self) -> tuple[str, ...]:
        """What the caller wrote, roles and templates left out: one text, or that of each turn."""

    def beginning(self, count: int) -> str:
        """The first characters of what the caller wrote; of a chat its messages, line by line."""
        return _until_enough((text[:count] for text in self.texts), count)[:count]

    def ending(self, count: int) -> str:
        """Likewise the last ones, at least one."""
        backwards = (text[-count:][::-1] for text in reversed(self.texts))
        return _until_enough(backwards, count)[:count][::-1]

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of what the caller wrote."""
        return self._size_bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    Attributes:
        tool_calls: Calls of tools that the assistant made in it, behind its text.
        tool_call_id: Of a tool's message: the call whose result it is.
        name: Of a tool's message: the tool.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of all that is in it, but for its role."""
        calls = (text for call in self.tool_calls for text in call.texts)
        return sum(map(utf8_size, (self.content, self.tool_call_id, self.name, *calls)))

    @property
    def of_tools(self) -> bool:
        """Whether it makes calls, or tells what one gave."""
        return bool(self.tool_calls or self.tool_call_id)


@dataclass(frozen=True, slots=True)
class ChatShape:
    """What a chat asks of a template, whatever its texts; system messages stand beside the turns.

    Attributes:
        system_first: Whether a system message opens it.
        system_later: Whether one stands behind other messages.
        repeats: Whether two turns in a row have the same role.
        assistant_first: Whether the first turn is the assistant's.
        continues: Whether the last message is the assistant's, so that the answer goes on with it.
        tools: Whether there are tools, calls of some, or results of calls.
    """

    system_first: bool = False
    system_later: bool = False
    repeats: bool = False
    assistant_first: bool = False
    continues: bool = False
    tools: bool = False


@dataclass(frozen=True, slots=True)
class TextPrompt(_Written):
    """A prompt taken as it is.

    Attributes:
        parse_special: Whether special tokens written in it are special; else they stay text.
    """

    text: str
    parse_special: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "_size_bytes", utf8_size(self.text))

    @property
    def texts(self) -> tuple[str, ...]:
        """See the base."""
        return (self.text,)

    @property
    def canonical_text(self) -> str:
        """One text that stands for the whole prompt, as the ledger hashes it."""
        return self.text

    @property
    def token_bound(self) -> int:
        """Tokens that it has at most, in any tokenizer: a token stands for at least a byte."""
        return self.size_bytes + _FRAME_TOKENS


@dataclass(frozen=True, slots=True)
class TokenPrompt(_Written):
    """A prompt in tokens of the members, who share a vocabulary; what begins it is the caller's."""

    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_size_bytes", len(self.tokens))

    @property
    def texts(self) -> tuple[str, ...]:
        """See the base; what they stand for is known to the members alone."""
        return ("",)

    @property
    def canonical_text(self) -> str:
        """As ``TextPrompt.canonical_text``."""
        return f"[{', '.join(map(str, self.tokens))}]"

    @property
    def token_bound(self) -> int:
        """As ``TextPrompt.token_bound``; here it is their number."""
        return len(self.tokens)


class _Chat(_Written):
    """What is known of a chat besides its size, counted with it."""

    __slots__ = ("_as_text", "_role_bytes", "_shape")
    _as_text: TextPrompt
    _role_bytes: int
    _shape: ChatShape


@dataclass(frozen=True, slots=True)
class ChatPrompt(_Chat):
    """A chat, rendered for each member by that member's own template.

    Attributes:
        allow_text: Whether a member without a template may read its texts instead.
        tools: What the answer may call.
        calls: How calls are to be written; empty where the template of whoever reads it says so.
    """

    messages: tuple[Message, ...]
    allow_text: bool = False
    tools: tuple[Tool, ...] = ()
    calls: ToolFormat = AS_TEMPLATE

    def __post_init__(self) -> None:
        roles = [turn.role for turn in self.messages]
        texts = (text for one in self.tools for text in one.texts)
        size = sum(turn.size_bytes for turn in self.messages) + sum(map(utf8_size, texts))
        speaks = any(turn.of_tools for turn in self.messages)
        object.__setattr__(self, "_size_bytes", size)
        object.__setattr__(self, "_role_bytes", sum(map(utf8_size, roles)))
        object.__setattr__(self, "_shape", _shape(roles, bool(self.tools) or speaks, speaks))

    @property
    def texts(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(turn.content for turn in self.messages)

    @property
    def canonical_text(self) -> str:
        """As ``TextPrompt.canonical_text``: roles and messages, and tools, as JSON."""
        turns = [*map(_canonical_turn, self.messages)]
        for tool in self.tools:
            turns.append(_canonical("tools", *tool.texts))
        return f"[{', '.join(turns)}]"

    @property
    def token_bound(self) -> int:
        """As ``TextPrompt.token_bound``, with what a chat template adds.

        That was looked up for the common ones, which need up to six tokens for a turn, and some
        for the end and a system prompt of their own.
        """
        written = self.size_bytes + self.role_bytes
        calls = sum(len(turn.tool_calls) for turn in self.messages)
        framed = _TOOLS_TOKENS + _TOOL_TOKENS * (len(self.tools) + calls) if self.shape.tools else 0
        return written + framed + _TURN_TOKENS * len(self.messages) + _FRAME_TOKENS

    @property
    def role_bytes(self) -> int:
        """UTF-8 bytes of the roles."""
        return self._role_bytes

    @property
    def shape(self) -> ChatShape:
        """What it asks of a template."""
        return self._shape

    @property
    def ends_within_text(self) -> bool:
        """Whether the answer goes on with a message that the caller began."""
        return self.messages[-1:] != () and (
            self.messages[-1].role == ASSISTANT and self.messages[-1].content != ""
        )

    @property
    def as_text(self) -> TextPrompt:
        """What a member without a template reads: the messages, divided by blank lines."""
        if not hasattr(self, "_as_text"):
            object.__setattr__(self, "_as_text", TextPrompt(BETWEEN_TURNS.join(self.texts)))
        return self._as_text


Prompt: TypeAlias = TextPrompt | TokenPrompt | ChatPrompt


def _until_enough(texts: Iterable[str], count: int) -> str:
    """Texts line by line, so many that there are as many characters as are asked for."""
    lines, size = [], 0
    for text in texts:
        lines.append(text)
        size += len(text) + 1
        if size > count:
            break
    return "\n".join(lines)


def _canonical_turn(turn: Message) -> str:
    told = [turn.role, turn.content]
    if turn.tool_call_id or turn.name:
        told += [turn.tool_call_id, turn.name]
    for call in turn.tool_calls:
        told += call.texts
    return _canonical(*told)


def _canonical(*texts: str) -> str:
    return f"[{', '.join(map(json_string, texts))}]"


def _one_of_user(role: str, alike: Iterable[str]) -> Iterable[str]:
    return (role,) if role == USER else alike


def _shape(roles: Sequence[str], tools: bool, results: bool) -> ChatShape:
    turns = [role for role in roles if role != SYSTEM]
    if results:
        # Results of calls, and what the user says behind them, are one turn.
        turns = [USER if role == TOOL else role for role in turns]
        turns = [role for role, alike in groupby(turns) for role in _one_of_user(role, alike)]
    return ChatShape(
        system_first=roles[:1] == [SYSTEM],
        system_later=SYSTEM in roles[1:],
        repeats=any(role == following for role, following in pairwise(turns)),
        assistant_first=turns[:1] == [ASSISTANT],
        continues=roles[-1:] == [ASSISTANT],
        tools=tools,
    )
