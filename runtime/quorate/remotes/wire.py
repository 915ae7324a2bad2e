"""OpenAI's protocol: what is sent, and what is read of an answer, without trust.

Any field of an event may be missing or of another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.remotes.contract import RemoteRequest, RemoteUsage
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.settings import RemoteSettings
from quorate.request import ChatPrompt, FinishReason, Request, SamplingOptions, TextPrompt

CHAT_PATH = "/chat/completions"
TEXT_PATH = "/completions"
_HIDDEN_FIELDS = ("reasoning_content", "reasoning")
_OWN_ENDS = ("stop", "eos", "eos_token")
_LENGTHS = ("length", "max_tokens")
_CONTEXT_LENGTHS = ("model_length",)


def call_of(request: RemoteRequest, settings: RemoteSettings) -> tuple[str, dict[str, Any]]:
    """Returns the path below the base URL, and the body; what is unset is left out.

    The fields are those of OpenAI's API reference, "Create chat completion" and "Create
    completion". The older endpoint limits its answer with ``max_tokens`` whatever the setting.
    """
    sampling = request.sampling
    body = {
        "model": settings.model,
        "stream": True,
        "stream_options": {"include_usage": True} if settings.stream_usage else None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(request.stop) or None,
    }
    if isinstance(request.prompt, ChatPrompt):
        path = CHAT_PATH
        body[settings.max_tokens_field] = request.max_tokens
        body["messages"] = [
            {"role": message.role, "content": message.content}
            for message in request.prompt.messages
        ]
    else:
        path = TEXT_PATH
        body["max_tokens"] = request.max_tokens
        body["prompt"] = request.prompt.text
    return path, {name: value for name, value in body.items() if value is not None}


def unsupported(request: Request, settings: RemoteSettings) -> tuple[str, ...]:
    """Names the fields of a request that a remote would have to ignore.

    The router rules a remote out for any of them, so that nothing is dropped in silence. Values
    that change nothing, such as a ``top_k`` of 0, are no obstacle.

    Returns:
        Paths of fields, such as ``sampling.top_k``; empty where the remote can do it all.
    """
    response = request.response
    asked = {
        "prompt.text": isinstance(request.prompt, TextPrompt) and not settings.text_prompts,
        "parse_special": isinstance(request.prompt, TextPrompt) and request.prompt.parse_special,
        # Some remotes would go on with it, others begin a message of their own.
        "chat.messages that end with the assistant's": (
            isinstance(request.prompt, ChatPrompt) and request.prompt.shape.continues
        ),
        **_of_sampling(request.sampling),
        "stopping.stop": len(request.stopping.stop) > settings.max_stop_strings,
        "response.top_logprobs": response.top_logprobs > 0,
        "response.member_votes": response.member_votes,
    }
    return tuple(name for name, is_asked in asked.items() if is_asked)


def _of_sampling(sampling: SamplingOptions) -> dict[str, bool]:
    return {
        "sampling.top_k": bool(sampling.top_k),
        "sampling.min_p": bool(sampling.min_p),
        "sampling.repetition_penalty": sampling.repetition_penalty not in (None, 1.0),
        # Token ids of a local vocabulary mean something else, or nothing, elsewhere.
        "sampling.logit_bias": bool(sampling.logit_bias),
    }


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


def finish_reason(
    word: str, stop_string: str | None, generated: int | None, max_tokens: int
) -> FinishReason:
    """Reads ``finish_reason`` of the OpenAI API and the words that other servers have for it.

    Args:
        word: The remote's word.
        stop_string: The stop string that ended the answer, where the remote names it.
        generated: Tokens it counted; fewer than ``max_tokens`` at a limit of length mean that the
            context was full.
        max_tokens: The limit that was asked for.

    Raises:
        CallFailed: The answer was withheld, or ended for a reason that text does not have.
    """
    if word in _OWN_ENDS:
        return FinishReason.STOP_STRING if stop_string else FinishReason.END_OF_GENERATION
    if word in _LENGTHS:
        full = generated is not None and generated < max_tokens
        return FinishReason.CONTEXT_FULL if full else FinishReason.MAX_TOKENS
    if word in _CONTEXT_LENGTHS:
        return FinishReason.CONTEXT_FULL
    if word == "content_filter":
        raise CallFailed(Failure(FailureKind.REFUSED, "its content filter ended the answer"))
    known = word if word.isascii() and word.replace("_", "").isalnum() and len(word) <= 32 else ""
    raise broken(f"ended the answer for a reason that is not known here {known}".rstrip())
