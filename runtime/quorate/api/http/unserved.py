"""Fields that would change an answer, and cannot be served: told instead of passed over. Pure.

One table for the words of all protocols, and of the servers whose clients ask here: OpenAI and
Anthropic, llama-server and vLLM. What changes nothing of an answer is passed over, as these do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from quorate.api.http.fields import Fields
from quorate.errors import InvalidRequest

_IsHarmless: TypeAlias = Callable[[Any], bool]


def _only(*values: Any) -> _IsHarmless:
    return lambda value: value in values


def _of_type(*kinds: str | None) -> _IsHarmless:
    return lambda value: isinstance(value, dict) and value.get("type") in kinds


NOT_SERVED: Mapping[str, _IsHarmless] = MappingProxyType(
    {
        # What tools were called before they were tools.
        "functions": _only([]),
        "function_call": _only("none", "auto"),
        # Nothing is looked up.
        "mcp_servers": _only([]),
        "container": _only(),
        "web_search_options": _only(),
        "documents": _only([]),
        # Text is all that is answered.
        "audio": _only(),
        "modalities": _only(["text"]),
        "thinking": _of_type(None, "disabled"),
        "suffix": _only(""),
        # What an answer must be; see ``forms`` for what is served. This is llama-server's own
        # language of grammars.
        "grammar": _only(""),
        "structural_tag": _only(""),
        "guided_whitespace_pattern": _only(),
        # Which tokens it may have, and how they are drawn.
        "ignore_eos": _only(False),
        "min_tokens": _only(0),
        "stop_token_ids": _only([]),
        "allowed_token_ids": _only([]),
        "bad_words": _only([]),
        "logits_processors": _only([]),
        "use_beam_search": _only(False),
        "mirostat": _only(0),
        "typical_p": _only(1),
        "dynatemp_range": _only(0),
        "dry_multiplier": _only(0),
        "xtc_probability": _only(0),
        "top_n_sigma": _only(-1, 0),
        "lora": _only([]),
        # How a prompt is read, and an answer told.
        "chat_template": _only(""),
        "chat_template_kwargs": _only({}),
        "add_generation_prompt": _only(True),
        "truncate_prompt_tokens": _only(-1),
        "prompt_logprobs": _only(0),
        "n_probs": _only(0),
        "skip_special_tokens": _only(True),
        "include_stop_str_in_output": _only(False),
    }
)
"""By name, whether a value asks for nothing. A field that is null is one that is not there."""

_INSTEAD: Mapping[str, str] = {"functions": "tools", "function_call": "tool_choice"}


def refuse_not_served(body: Fields) -> None:
    """Refuses a body that asks for what is not served.

    Raises:
        InvalidRequest: It does; the first such field is named.
    """
    for name, is_harmless in NOT_SERVED.items():
        if body.has(name) and not is_harmless(body.any(name)):
            remedy = f"give {_INSTEAD[name]}" if name in _INSTEAD else "leave it out"
            raise InvalidRequest(body.path(name), f"is not served here; {remedy}")
