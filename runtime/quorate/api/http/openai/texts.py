"""The bodies of ``/v1/completions``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import MAX_CHOICES, Asked, Context, asked_for, check_size
from quorate.api.http.fields import Fields, kind_of
from quorate.api.http.openai.wording import worded
from quorate.api.http.tools import choice_of
from quorate.errors import InvalidRequest
from quorate.request import Prompt, TextPrompt, TokenPrompt, ToolMode

_NO_CALL = (ToolMode.NONE.value, ToolMode.AUTO.value)
_NAMES = {"chat": "prompt"}
_MOST_ID = 1 << 31


def text_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    _refuse_tools(body)
    shown = body.integer("logprobs")
    if shown is not None:
        limits.top_logprobs("logprobs", shown)
    echo = body.flag("echo") or False
    # Whoever wants a text judged has nothing written.
    answers = not (echo and body.any("max_tokens") == 0)
    read = body if answers else body.without("max_tokens")
    words = worded(read, context, _prompts(body), shown, _NAMES)
    return asked_for(replace(words, echo=echo, answers=answers), context)


def _refuse_tools(body: Fields) -> None:
    chosen = choice_of(body)
    for asks, path in ((body.any("tools"), "tools"), (chosen.kind not in _NO_CALL, chosen.path)):
        if asks:
            raise InvalidRequest(path, "is for chats; ask /v1/chat/completions")


def _prompts(body: Fields) -> tuple[Prompt, ...]:
    given = body.any("prompt")
    if isinstance(given, str):
        return (check_size("prompt", TextPrompt(given)),)
    prompts = body.items("prompt")
    if not prompts:
        raise InvalidRequest("prompt", "is missing; give a text")
    if isinstance(prompts[0], int):
        return (_tokens("prompt", prompts),)
    if len(prompts) > MAX_CHOICES:
        raise InvalidRequest("prompt", f"has more than {MAX_CHOICES} prompts; ask again")
    return tuple(_prompt(f"prompt[{at}]", one) for at, one in enumerate(prompts))


def _prompt(path: str, given: Any) -> Prompt:
    if isinstance(given, list):
        return _tokens(path, given)
    if not isinstance(given, str):
        raise InvalidRequest(path, f"is {kind_of(given)}; give a text, or token ids")
    return check_size(path, TextPrompt(given))


def _tokens(path: str, given: Sequence[Any]) -> Prompt:
    if not given:
        raise InvalidRequest(path, "is empty; give token ids")
    for at, one in enumerate(given):
        if type(one) is not int or not 0 <= one < _MOST_ID:
            raise InvalidRequest(f"{path}[{at}]", "is no token id")
    return TokenPrompt(tuple(limits.token_ids(path, given)))
