"""What is asked."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
"""Roles that mean the same in every chat template, where it knows them."""

_TURN_TOKENS = 8
_FRAME_TOKENS = 64


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

    @property
    def plain_text(self) -> str:
        """What the caller wrote as one text; of a chat all its messages, line by line."""
        return "\n".join(self.texts)

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of what the caller wrote."""
        return self._size_bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatShape:
    """What a chat asks of a template, whatever its texts; system messages stand beside the turns.

    Attributes:
        system_first: Whether a system message opens it.
        system_later: Whether one stands behind other messages.
        repeats: Whether two turns in a row have the same role.
        assistant_first: Whether the first turn is the assistant's.
        continues: Whether the last message is the assistant's, so that the answer goes on with it.
    """

    system_first: bool = False
    system_later: bool = False
    repeats: bool = False
    assistant_first: bool = False
    continues: bool = False


@dataclass(frozen=True, slots=True)
class TextPrompt(_Written):
    """A prompt taken as it is.

    Attributes:
        parse_special: Whether special tokens written in it are special; else they stay text.
    """

    text: str
    parse_special: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "_size_bytes", _size(self.text))

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


class _Chat(_Written):
    """What is known of a chat besides its size, counted with it."""

    __slots__ = ("_role_bytes", "_shape")
    _role_bytes: int
    _shape: ChatShape


@dataclass(frozen=True, slots=True)
class ChatPrompt(_Chat):
    """A chat, rendered for each member by that member's own template.

    Attributes:
        allow_text: Whether a member without a template may read its texts instead.
    """

    messages: tuple[Message, ...]
    allow_text: bool = False

    def __post_init__(self) -> None:
        roles = [turn.role for turn in self.messages]
        object.__setattr__(self, "_size_bytes", sum(_size(turn.content) for turn in self.messages))
        object.__setattr__(self, "_role_bytes", sum(map(_size, roles)))
        object.__setattr__(self, "_shape", _shape(roles))

    @property
    def texts(self) -> tuple[str, ...]:
        """See the base."""
        return tuple(turn.content for turn in self.messages)

    @property
    def canonical_text(self) -> str:
        """As ``TextPrompt.canonical_text``: roles and messages, as JSON."""
        turns = [[turn.role, turn.content] for turn in self.messages]
        return json.dumps(turns, ensure_ascii=False)

    @property
    def token_bound(self) -> int:
        """As ``TextPrompt.token_bound``, with what a chat template adds.

        That was looked up for the common ones, which need up to six tokens for a turn, and some
        for the end and a system prompt of their own.
        """
        written = self.size_bytes + self.role_bytes
        return written + _TURN_TOKENS * len(self.messages) + _FRAME_TOKENS

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
        return TextPrompt("\n\n".join(self.texts))


Prompt: TypeAlias = TextPrompt | ChatPrompt


def _shape(roles: Sequence[str]) -> ChatShape:
    turns = [role for role in roles if role != SYSTEM]
    return ChatShape(
        system_first=roles[:1] == [SYSTEM],
        system_later=SYSTEM in roles[1:],
        repeats=any(role == following for role, following in pairwise(turns)),
        assistant_first=turns[:1] == [ASSISTANT],
        continues=roles[-1:] == [ASSISTANT],
    )


def _size(text: str) -> int:
    """Bytes in UTF-8, without a copy of what is ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
