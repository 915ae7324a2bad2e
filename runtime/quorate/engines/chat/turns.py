"""The turns of a chat as a template takes them."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.engines.template_facts import TemplateFacts
from quorate.request import Message
from quorate.request.prompts import ASSISTANT, BETWEEN_TURNS, SYSTEM, USER


def place_system(messages: Sequence[Message], facts: TemplateFacts) -> list[Message]:
    """Puts system text that the template has no place for where the user speaks next.

    It opens the next message of the user, as in the templates of Gemma 3 and as llama-server does
    it. Where the user says nothing more it closes the user's last message, or is one of its own.
    """
    turns: list[Message] = []
    waiting: list[str] = []
    stood_at = 0
    for index, message in enumerate(messages):
        takes = facts.system_later if index else facts.system_first
        if message.role == SYSTEM and not takes:
            if not waiting:
                stood_at = len(turns)
            if message.content.strip():
                waiting.append(message.content)
            continue
        if message.role == USER and waiting:
            message = Message(USER, BETWEEN_TURNS.join((*waiting, message.content)))
            waiting = []
        turns.append(message)
    if waiting and stood_at and turns[stood_at - 1].role == USER:
        last = turns[stood_at - 1]
        turns[stood_at - 1] = Message(USER, BETWEEN_TURNS.join((last.content, *waiting)))
    elif waiting:
        turns.insert(stood_at, Message(USER, BETWEEN_TURNS.join(waiting)))
    return turns


def goes_on(messages: Sequence[Message]) -> bool:
    """Whether the answer goes on with the last message."""
    return bool(messages) and messages[-1].role == ASSISTANT
