"""How many tokens one session may hold: what was asked for, held against the training.

Positions beyond those of the training give noise unless RoPE is scaled to reach them: by the file's
own metadata, or by the options. Nothing that was asked for is cut without a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from quorate.engines.llama_cpp.options import CONTEXT_LENGTH_CAP, LlamaCppOptions
from quorate.errors import ModelUnusable

_NO_SCALING = ("", "none")


@dataclass(frozen=True, slots=True)
class Training:
    """What a model was trained for.

    Attributes:
        tokens: Positions that it was trained for, or that its own RoPE scaling reaches.
        rope_freq_base: Its RoPE base frequency; 0 where it says none.
        rope_freq_scale: Its own RoPE frequency scale; 1 is none.
    """

    tokens: int
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 1.0

    @classmethod
    def read(cls, architecture: str, value_of: Callable[[str], str]) -> Training:
        """Reads it from the metadata of a GGUF file, of which ``value_of`` gives texts or ""."""

        def number(key: str) -> float:
            try:
                return float(value_of(f"{architecture}.{key}") or 0)
            except ValueError:
                return 0.0

        tokens = int(number("context_length"))
        scaling = value_of(f"{architecture}.rope.scaling.type")
        factor = number("rope.scaling.factor") if scaling not in _NO_SCALING else 0.0
        reached = int(factor * number("rope.scaling.original_context_length"))
        return cls(max(tokens, reached), number("rope.freq_base"), 1 / factor if factor else 1.0)


def session_tokens(training: Training, options: LlamaCppOptions, subject: str) -> int:
    """The most tokens that one session can hold.

    Raises:
        ModelUnusable: More are asked for than training and RoPE scaling reach.
    """
    wanted = options.context_length
    if not wanted:
        usual = min(CONTEXT_LENGTH_CAP, training.tokens)
        return min(usual, options.cells or usual)
    reached = reached_tokens(training, options)
    if wanted <= reached or _stretches_base(training, options):
        return min(wanted, options.cells or wanted)
    # Rounded down: a scale that is a little too large would be refused again.
    scale = math.floor(1e4 * training.rope_freq_scale * training.tokens / wanted) / 1e4
    raise ModelUnusable(
        subject,
        f"context_length is {wanted}, and the model reaches {reached} tokens; set context_length "
        f"to at most that, or scale RoPE: rope_freq_scale = {scale:g}, or a larger "
        "rope_freq_base",
    )


def stretched(training: Training, options: LlamaCppOptions) -> str:
    """What to say where a context is larger than the training; "" where it is not."""
    if options.context_length <= training.tokens:
        return ""
    return (
        f"context_length is {options.context_length}, and the model was trained for "
        f"{training.tokens} tokens; RoPE scaling reaches further, and answers may get worse"
    )


def reached_tokens(training: Training, options: LlamaCppOptions) -> int:
    """Tokens that positions reach with the frequency scale of the options."""
    if not options.rope_freq_scale:
        return training.tokens
    # The option takes the place of the model's own scale.
    unscaled = training.tokens * training.rope_freq_scale
    return round(unscaled / options.rope_freq_scale)


def _stretches_base(training: Training, options: LlamaCppOptions) -> bool:
    """Whether the options raise the base frequency; how far that reaches nobody can tell."""
    return options.rope_freq_base > (training.rope_freq_base or 10_000.0)
