"""What a request cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from enum import Enum


class EnergyTier(Enum):
    """How an energy figure was come by."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNAVAILABLE = "unavailable"


_FROM_BEST = tuple(EnergyTier)


def lowest_tier(tiers: Iterable[EnergyTier]) -> EnergyTier:
    """How a sum is known, given how its parts are: as the least certain of them. Not for none."""
    return max(tiers, key=_FROM_BEST.index)


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in joules and how it is known; ``joules`` is None when it is not."""

    joules: float | None = None
    tier: EnergyTier = EnergyTier.UNAVAILABLE


def total_energy(energies: Sequence[Energy]) -> Energy:
    """The sum of energies; it is not known where one of them is not, or where there are none."""
    known = [energy.joules for energy in energies if energy.joules is not None]
    if not known or len(known) < len(energies):
        return Energy()
    return Energy(sum(known), lowest_tier(energy.tier for energy in energies))


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model spent on a request.

    Attributes:
        prompt_tokens: Tokens of the prompt in this model's tokenizer.
        cached_prompt_tokens: Those of them whose KV entries were reused.
        generated_tokens: Tokens appended after the prompt, those of wrong guesses included.
        busy_ms: Sum of the times this model was waited for.
        dropped_mass: Probability that a byte-exact vote pruned, for each byte; None elsewhere.
        usd: What a remote charges for it; None where nobody does.
        drafted_tokens: Tokens that it guessed ahead of the choice; bytes where those are voted on.
        accepted_tokens: Those of them that were chosen.
        lone_tokens: Tokens of the answer for which this member of a vote computed alone.
    """

    model: str
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_ms: float = 0.0
    energy: Energy = field(default_factory=Energy)
    dropped_mass: float | None = None
    usd: float | None = None
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    lone_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Where the time went between the first rows of an answer and its last token, in milliseconds.

    Attributes:
        decode_ms: Models computed; what was done beside that is in no other part.
        exchange_ms: Symbols and rows were on their way between the coordinator and the workers.
        turns_ms: Other answers had the event loop.
        combine_ms: Weights, the mixture, and what is noted of each token.
        sample_ms: A symbol was chosen from the mixture, and guesses were planned.
        stream_ms: The reader was written to, where no model computed meanwhile.
    """

    decode_ms: float = 0.0
    exchange_ms: float = 0.0
    turns_ms: float = 0.0
    combine_ms: float = 0.0
    sample_ms: float = 0.0
    stream_ms: float = 0.0


def total_times(times: Sequence[StepTimes]) -> StepTimes | None:
    """The sum of those of several votes; None of none."""
    if len(times) < 2:
        return times[0] if times else None
    return StepTimes(*(sum(parts) for parts in zip(*map(astuple, times), strict=True)))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost.

    Attributes:
        cached_prompt_tokens: Of the prompt's tokens those whose KV entries were reused.
        drafted_tokens: Tokens guessed ahead of the choice, by members or from what was said before.
        accepted_tokens: Those of them that were chosen.
        lone_tokens: Tokens of the answer for which one member of a vote computed alone.
        step_times: None of a remote.
    """

    prompt_tokens: int
    generated_tokens: int
    time_to_first_token_ms: float | None
    duration_ms: float
    models: tuple[ModelUsage, ...] = ()
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    lone_tokens: int = 0
    step_times: StepTimes | None = None
    cached_prompt_tokens: int = 0

    @property
    def time_per_token_ms(self) -> float | None:
        """Time for each token after the first, on average; None for fewer than two."""
        first = self.time_to_first_token_ms
        if first is None or self.generated_tokens < 2:
            return None
        return (self.duration_ms - first) / (self.generated_tokens - 1)


def total_usage(
    models: Sequence[ModelUsage],
    generated_tokens: int,
    time_to_first_token_ms: float | None,
    duration_ms: float,
) -> Usage:
    """Adds the members' usages up.

    The prompt counts once, in the tokenizer of the first member that read it, since one prompt was
    asked.
    """
    first = next((one for one in models if one.prompt_tokens), ModelUsage(""))
    return Usage(
        prompt_tokens=first.prompt_tokens,
        cached_prompt_tokens=first.cached_prompt_tokens,
        generated_tokens=generated_tokens,
        time_to_first_token_ms=time_to_first_token_ms,
        duration_ms=duration_ms,
        models=tuple(models),
        lone_tokens=sum(one.lone_tokens for one in models),
    )
