"""The bodies of ``/v1/completions``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.access import limits
from quorate.api.http.asking import MAX_CHOICES, Asked, Context, asked_for, check_size
from quorate.api.http.fields import Fields, kind_of
from quorate.api.http.openai.wording import worded
from quorate.errors import InvalidRequest
from quorate.request import Prompt, TextPrompt

_NAMES = {"chat": "prompt"}


def text_asked(found: Mapping[str, Any], context: Context) -> Asked:
    """What a body asks for.

    Raises:
        InvalidRequest: A field that can never be served.
    """
    body = Fields(found)
    shown = body.integer("logprobs")
    if shown is not None:
        limits.top_logprobs("logprobs", shown)
    return asked_for(worded(body, context, _prompts(body), shown, _NAMES), context)


def _prompts(body: Fields) -> tuple[Prompt, ...]:
    given = body.any("prompt")
    if isinstance(given, str):
        return (check_size("prompt", TextPrompt(given)),)
    prompts = body.items("prompt")
    if not prompts:
        raise InvalidRequest("prompt", "is missing; give a text")
    if len(prompts) > MAX_CHOICES and isinstance(prompts[0], str):
        raise InvalidRequest("prompt", f"has more than {MAX_CHOICES} texts; ask again")
    for index, one in enumerate(prompts):
        if not isinstance(one, str):
            raise InvalidRequest(f"prompt[{index}]", f"is {kind_of(one)}; give a text")
    return tuple(check_size(f"prompt[{at}]", TextPrompt(one)) for at, one in enumerate(prompts))
