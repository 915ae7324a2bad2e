"""What is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A prompt taken as it is; special tokens written in it stay text."""

    text: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A chat, rendered for each member by that member's own template."""

    messages: tuple[Message, ...]


Prompt: TypeAlias = TextPrompt | ChatPrompt
