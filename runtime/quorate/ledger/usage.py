"""The usage of one request."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.request import ModelUsage, Usage


def total_usage(
    models: Sequence[ModelUsage],
    generated_tokens: int,
    time_to_first_token_ms: float | None,
    duration_ms: float,
) -> Usage:
    """Adds the members' usages up.

    The prompt counts once, in the first member's tokenizer, since one prompt was asked.
    """
    return Usage(
        prompt_tokens=models[0].prompt_tokens if models else 0,
        generated_tokens=generated_tokens,
        time_to_first_token_ms=time_to_first_token_ms,
        duration_ms=duration_ms,
        models=tuple(models),
    )
