"""Text and reasoning out of what servers call a delta or a message, in their spellings. Pure.

Anything but a known shape gives no text; what is plainly no text, where text must be, is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.remotes.failures import broken

# Several of them may hold the same words, so that only the first one counts.
_REASONING_FIELDS = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "thoughts",
    "reasoning_details",
)
_REASONING_TYPES = ("thinking", "reasoning", "thought")
_TEXT_FIELDS = ("text", "content", "summary", "thinking", "reasoning")
_DEEPEST = 8


def texts_of_choice(choice: Mapping[str, Any]) -> tuple[str, str]:
    """New text of the answer, and new text that is generated and no part of it.

    Raises:
        CallFailed: A field that must hold text, or parts of it, holds something else.
    """
    if isinstance(choice.get("text"), str):
        return choice["text"], ""
    delta = choice.get("delta")
    if delta is None:
        # Whoever was asked for a stream and does not stream sends a whole message.
        delta = choice.get("message")
    if delta is None:
        return (_content(choice["text"])[0] if choice.get("text") else ""), ""
    if not isinstance(delta, dict):
        raise broken("sent a delta that is no JSON object")
    content = delta.get("content")
    if len(delta) == 1 and isinstance(content, str):
        return content, ""
    text, hidden = _content(content)
    if isinstance(delta.get("refusal"), str):
        text += delta["refusal"]
    thought = next((delta[name] for name in _REASONING_FIELDS if delta.get(name)), None)
    return text, hidden + _inner(thought, _DEEPEST)


def _content(value: object) -> tuple[str, str]:
    """Text and reasoning of ``content``: a text, or a list of parts with a type each."""
    if value is None:
        return "", ""
    if isinstance(value, str):
        return value, ""
    parts = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list):
        raise broken("sent text that is no JSON string")
    text: list[str] = []
    hidden: list[str] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else ""
        is_thought = isinstance(kind, str) and any(one in kind for one in _REASONING_TYPES)
        (hidden if is_thought else text).append(_inner(part, _DEEPEST))
    return "".join(text), "".join(hidden)


def _inner(value: object, depth: int) -> str:
    """All text of a part, whichever of its fields it stands in."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "".join(_inner(part, depth - 1) for part in value)
    if isinstance(value, dict):
        found = next((value[name] for name in _TEXT_FIELDS if value.get(name)), None)
        return _inner(found, depth - 1)
    return ""
