"""One event of a stream, read without trust: any field may be missing or of another type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.remotes.contract import RemoteUsage
from quorate.remotes.failures import broken

_HIDDEN_FIELDS = ("reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event says.

    Attributes:
        text: New text of the answer.
        hidden: New text that is generated and paid for but is no part of the answer.
        finish: The remote's word for why the answer ended; None while it goes on.
        stop_string: The stop string that ended it, where the remote names it (vLLM).
        usage: What the remote counted; None where this event does not say.
    """

    text: str = ""
    hidden: str = ""
    finish: str | None = None
    stop_string: str | None = None
    usage: RemoteUsage | None = field(default=None)


def read_chunk(event: object) -> Chunk:
    """Reads an event of a chat or of a text completion.

    Raises:
        CallFailed: It is neither.
    """
    if not isinstance(event, Mapping):
        raise broken("sent an event that is no JSON object")
    usage = _usage(event.get("usage"))
    choices = event.get("choices")
    if choices is None and usage is not None:
        return Chunk(usage=usage)
    if not isinstance(choices, list):
        raise broken("sent an event without choices")
    if not choices:
        return Chunk(usage=usage)
    choice = choices[0]
    if not isinstance(choice, Mapping):
        raise broken("sent a choice that is no JSON object")
    finish, stop_string = choice.get("finish_reason"), choice.get("stop_reason")
    text, hidden = _texts(choice)
    return Chunk(
        text=text,
        hidden=hidden,
        finish=finish if isinstance(finish, str) and finish else None,
        stop_string=stop_string if isinstance(stop_string, str) else None,
        usage=usage,
    )


def _texts(choice: Mapping[str, Any]) -> tuple[str, str]:
    if "text" in choice:
        return _text(choice["text"]), ""
    delta = choice.get("delta")
    if delta is None:
        return "", ""
    if not isinstance(delta, Mapping):
        raise broken("sent a delta that is no JSON object")
    hidden = next((delta[name] for name in _HIDDEN_FIELDS if delta.get(name)), None)
    return _text(delta.get("content")), hidden if isinstance(hidden, str) else ""


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise broken("sent text that is no JSON string")
    return value


def _usage(value: object) -> RemoteUsage | None:
    if not isinstance(value, Mapping):
        return None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return RemoteUsage(
        prompt_tokens=_count(value.get("prompt_tokens")),
        cached_prompt_tokens=_count(cached),
        generated_tokens=_count(value.get("completion_tokens")),
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
