"""What is asked."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

_TURN_TOKENS = 8
_FRAME_TOKENS = 64


class _Written(ABC):
    """What a text and a chat tell of themselves in the same way."""

    __slots__ = ()

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
        return sum(map(_size, self.texts))


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt(_Written):
    """A prompt taken as it is; special tokens written in it stay text."""

    text: str

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
class ChatPrompt(_Written):
    """A chat, rendered for each member by that member's own template."""

    messages: tuple[Message, ...]

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
        roles = sum(_size(turn.role) for turn in self.messages)
        return self.size_bytes + roles + _TURN_TOKENS * len(self.messages) + _FRAME_TOKENS


Prompt: TypeAlias = TextPrompt | ChatPrompt


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
