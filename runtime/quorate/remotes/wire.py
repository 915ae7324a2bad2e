"""OpenAI's protocol: what is sent, and what is read of an answer, without trust.

Any field of an event may be missing or of another type. Servers differ in more than the protocol
allows, so that it is read leniently: what is not known is passed over, and only what would change
the text is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from quorate.remotes.contract import RemoteRequest
from quorate.remotes.counts import Report, read_report
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.parts import texts_of_choice
from quorate.remotes.settings import RemoteSettings
from quorate.request import (
    ChatPrompt,
    FinishReason,
    Request,
    SamplingOptions,
    TextPrompt,
    TokenPrompt,
)

CHAT_PATH = "/chat/completions"
TEXT_PATH = "/completions"
_OWN_ENDS = ("stop", "eos", "eos_token")
_LENGTHS = ("length", "max_tokens", "max_output_tokens")
_CONTEXT_LENGTHS = ("model_length", "model_context_window_exceeded")
_FILTERS = ("content_filter", "safety", "sensitive")
_FAULTS = ("error", "abort", "network_error", "insufficient_system_resource")
_LONGEST_WORD = 32


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
    elif isinstance(request.prompt, TextPrompt):
        path = TEXT_PATH
        body["max_tokens"] = request.max_tokens
        body["prompt"] = request.prompt.text
    else:
        raise TypeError("tokens of a local vocabulary are for no remote")
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
        "prompt.tokens": isinstance(request.prompt, TokenPrompt),
        "parse_special": isinstance(request.prompt, TextPrompt) and request.prompt.parse_special,
        # Some remotes would go on with it, others begin a message of their own.
        "chat.messages that end with the assistant's": (
            isinstance(request.prompt, ChatPrompt) and request.prompt.shape.continues
        ),
        **_of_sampling(request.sampling),
        "stopping.stop": len(request.stopping.stop) > settings.max_stop_strings,
        # Nobody here could see to it that the answer is of that form.
        "constraint": request.constraint is not None,
        "chat.tools": isinstance(request.prompt, ChatPrompt) and request.prompt.shape.tools,
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


class Done(Enum):
    """The end of a stream, as ``[DONE]`` says it."""

    DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event says.

    Attributes:
        known: Whether it is an event of an answer at all; what is not is passed over.
        text: New text of the answer.
        hidden: New text that is generated and paid for but is no part of the answer.
        finish: The remote's word for why the answer ended; None while it goes on.
        stop_string: The stop string that ended it, where the remote names it (vLLM).
        report: What the remote counted; None where this event does not say.
    """

    known: bool = True
    text: str = ""
    hidden: str = ""
    finish: str | None = None
    stop_string: str | None = None
    report: Report | None = None


def read_chunk(event: object) -> Chunk:
    """Reads an event of a chat or of a text completion.

    Raises:
        CallFailed: It is one, and its text cannot be told.
    """
    if event is None or isinstance(event, str | int | float):
        return Chunk(known=False)
    if not isinstance(event, dict):
        raise broken("sent an event that is no JSON object")
    choices = event.get("choices")
    choice = _first(choices) if isinstance(choices, list) else None
    report = _report(event, choice)
    if choice is None:
        return Chunk(known=report is not None or isinstance(choices, list), report=report)
    finish, stop_string = choice.get("finish_reason"), choice.get("stop_reason")
    text, hidden = texts_of_choice(choice)
    return Chunk(
        text=text,
        hidden=hidden,
        finish=finish if isinstance(finish, str) and finish else None,
        stop_string=stop_string if isinstance(stop_string, str) else None,
        report=report,
    )


def _first(choices: list[Any]) -> Mapping[str, Any] | None:
    """The only choice that was asked for; a server that sends others as well numbers them."""
    for choice in choices:
        if not isinstance(choice, dict):
            raise broken("sent a choice that is no JSON object")
        if not choice.get("index"):
            return choice
    return None


def _report(event: Mapping[str, Any], choice: Mapping[str, Any] | None) -> Report | None:
    """The counts, which some servers put into the choice, and one beside the event's own fields."""
    beside = event.get("x_groq")
    usage = event.get("usage") or (choice and choice.get("usage"))
    if not usage and isinstance(beside, dict):
        usage = beside.get("usage")
    return read_report(usage) if usage else None


def finish_reason(
    word: str, stop_string: str | None, generated: int | None, max_tokens: int
) -> FinishReason:
    """Reads ``finish_reason`` of the OpenAI API and the words that other servers have for it.

    A word that is not known ends the answer as the model's own end does; ``foreign_word`` tells it.

    Args:
        word: The remote's word.
        stop_string: The stop string that ended the answer, where the remote names it.
        generated: Tokens it counted; fewer than ``max_tokens`` at a limit of length mean that the
            context was full.
        max_tokens: The limit that was asked for.

    Raises:
        CallFailed: The remote says that it failed.
    """
    plain = word.lower()
    if plain in _LENGTHS:
        full = generated is not None and generated < max_tokens
        return FinishReason.CONTEXT_FULL if full else FinishReason.MAX_TOKENS
    if plain in _CONTEXT_LENGTHS:
        return FinishReason.CONTEXT_FULL
    if plain in _FILTERS:
        return FinishReason.CONTENT_FILTER
    if plain in _FAULTS:
        raise CallFailed(Failure(FailureKind.TRANSIENT, f"ended the answer with {plain}"))
    return FinishReason.STOP_STRING if stop_string else FinishReason.END_OF_GENERATION


def foreign_word(word: str) -> str:
    """The word, where it is none that servers end an answer with, short and safe to show; else "".

    Characters that no such word has are shown as question marks.
    """
    if word.lower() in (*_OWN_ENDS, *_LENGTHS, *_CONTEXT_LENGTHS, *_FILTERS):
        return ""
    shown = word[:_LONGEST_WORD]
    return "".join(
        one if one.isascii() and (one.isalnum() or one in "_-.") else "?" for one in shown
    )
