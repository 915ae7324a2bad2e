"""From a request to what is sent: the path and the JSON body of an OpenAI-compatible API."""

from __future__ import annotations

from typing import Any

from quorate.remotes.contract import RemoteRequest
from quorate.remotes.settings import RemoteSettings
from quorate.request import ChatPrompt, TextPrompt

CHAT_PATH = "/chat/completions"
TEXT_PATH = "/completions"


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


def private_texts(request: RemoteRequest) -> tuple[str, ...]:
    """The caller's words, which no message may repeat."""
    if isinstance(request.prompt, TextPrompt):
        return (request.prompt.text,)
    return tuple(message.content for message in request.prompt.messages)
