"""What a request cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class EnergyTier(Enum):
    """How an energy figure was come by."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in joules and how it is known; ``joules`` is None when it is not."""

    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model spent on a request.

    Attributes:
        prompt_tokens: Tokens of the prompt in this model's tokenizer.
        cached_prompt_tokens: Those of them whose KV entries were reused.
        generated_tokens: Tokens appended after the prompt.
        busy_ms: Sum of the times this model was waited for.
        dropped_mass: Probability that a byte-exact vote pruned, for each byte; None elsewhere.
        usd: What a remote charges for it; None where nobody does.
    """

    model: str
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_ms: float = 0.0
    energy: Energy = field(default_factory=Energy)
    dropped_mass: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost."""

    prompt_tokens: int
    generated_tokens: int
    time_to_first_token_ms: float | None
    duration_ms: float
    models: tuple[ModelUsage, ...] = ()
