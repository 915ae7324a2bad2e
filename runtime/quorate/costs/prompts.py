"""What prompts take: how many tokens their bytes become, and which part was cached. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.costs.regression import RelativeRegression
from quorate.costs.saved import Json, Table, number

_TEMPLATE_TOKENS = 10.0
_TOKENS_PER_BYTE = 0.25
_MAX_BYTES = 1e12
_SMOOTHING = 0.05
# Until so many prompts were seen, each counts as much as every other.
_FIRST_PROMPTS = 20.0


@dataclass(frozen=True, slots=True)
class PromptSizeModel:
    """Tokens of prompts, as known at one moment.

    Attributes:
        template_tokens: What every prompt has, whatever its text: the chat template's own.
        tokens_per_byte: Of the text, in UTF-8.
    """

    template_tokens: float = _TEMPLATE_TOKENS
    tokens_per_byte: float = _TOKENS_PER_BYTE

    def tokens(self, prompt_bytes: float) -> float:
        """Expected tokens of a prompt of so many bytes."""
        return self.template_tokens + self.tokens_per_byte * prompt_bytes


class PromptSizeLearner:
    """Learns tokens against bytes from the prompts of one tokenizer, the latest counting most."""

    def __init__(self) -> None:
        self._regression = RelativeRegression((_TEMPLATE_TOKENS, _TOKENS_PER_BYTE))
        self._model: PromptSizeModel | None = PromptSizeModel()

    def observe(self, prompt_bytes: float, tokens: float) -> None:
        """Learns one: its bytes in UTF-8, all its tokens. What cannot be true is ignored."""
        if 0 <= prompt_bytes <= _MAX_BYTES and 0 < tokens <= _MAX_BYTES:
            self._regression.observe((1.0, float(prompt_bytes)), float(tokens))
            self._model = None

    def model(self) -> PromptSizeModel:
        """What is known now; the same object until something else was learned."""
        if self._model is None:
            template, per_byte = self._regression.coefficients()
            self._model = PromptSizeModel(template, per_byte)
        return self._model

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return self._regression.state()

    @classmethod
    def restore(cls, state: Table) -> PromptSizeLearner:
        """A learner that goes on from a saved state."""
        learner = cls()
        learner._regression.restore(state)
        learner._model = None
        return learner


class CachedShare:
    """Mean share of a prompt's tokens whose KV entries were reused, the latest counting most.

    Where requests share a long beginning, as with a system prompt, most of a prompt costs nothing.
    """

    def __init__(self, mean: float = 0.0, prompts: float = 0.0) -> None:
        self._mean = mean
        self._prompts = prompts

    @property
    def mean(self) -> float:
        """The share to expect, in [0, 1]; nothing before the first prompt."""
        return self._mean

    def observe(self, computed_tokens: float, cached_tokens: float) -> None:
        """Learns one prompt; figures that cannot be true are ignored."""
        total = computed_tokens + cached_tokens
        if not (computed_tokens >= 0 and cached_tokens >= 0 and 0 < total < float("inf")):
            return
        self._prompts = min(_FIRST_PROMPTS, self._prompts + 1.0)
        weight = max(_SMOOTHING, 1.0 / self._prompts)
        self._mean += weight * (cached_tokens / total - self._mean)

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {"mean": self._mean, "prompts": self._prompts}

    @classmethod
    def restore(cls, state: Table) -> CachedShare:
        """Goes on from a saved state."""
        return cls(number(state, "mean", 0.0, 1.0), number(state, "prompts", 0.0, _FIRST_PROMPTS))
