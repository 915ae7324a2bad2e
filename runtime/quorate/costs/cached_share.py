"""What part of a prompt is found in the prefix cache. Pure."""

from __future__ import annotations

from quorate.costs.saved import Json, Table, number

_SMOOTHING = 0.05
# Until so many prompts were seen, each counts as much as every other.
_FIRST = 20.0


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
        self._prompts = min(_FIRST, self._prompts + 1.0)
        weight = max(_SMOOTHING, 1.0 / self._prompts)
        self._mean += weight * (cached_tokens / total - self._mean)

    def state(self) -> dict[str, Json]:
        """What ``restore`` takes."""
        return {"mean": self._mean, "prompts": self._prompts}

    @classmethod
    def restore(cls, state: Table) -> CachedShare:
        """Goes on from a saved state.

        Raises:
            ValueError: The state is not one of a share.
        """
        return cls(number(state, "mean", 0.0, 1.0), number(state, "prompts", 0.0, _FIRST))
