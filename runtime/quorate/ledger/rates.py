"""Rates of a price list, with their tiers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Rate:
    """USD for a million tokens, or a million requests.

    Attributes:
        base: What holds below the first tier.
        tiers: From how many tokens of the prompt, exclusively, another amount holds for *all*
            tokens; in rising order.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, prompt_tokens: int) -> Decimal:
        """What holds for a prompt of this length."""
        reached = self._reached(prompt_tokens)
        return reached[-1] if reached else self.base

    def most(self, prompt_tokens: int) -> Decimal:
        """The most that holds for any prompt of at most this length."""
        return max(self.base, *self._reached(prompt_tokens), Decimal(0))

    def _reached(self, prompt_tokens: int) -> list[Decimal]:
        return [usd for start, usd in self.tiers if prompt_tokens > start]


FREE = Rate(Decimal(0))


@dataclass(frozen=True, slots=True)
class Rates:
    """All that one model is charged by.

    Attributes:
        input: Tokens of the prompt.
        cached: Those that the remote had in its cache.
        output: Tokens of the answer.
        request: A million requests, however long.
        special_inputs: Rates that some tokens of a prompt may fall under instead, such as those
            that are written to a cache. A response does not tell them apart for every remote.
        special_outputs: The same of the answer, such as reasoning.
    """

    input: Rate
    cached: Rate
    output: Rate
    request: Rate
    special_inputs: tuple[Rate, ...] = ()
    special_outputs: tuple[Rate, ...] = ()

    @property
    def inputs(self) -> tuple[Rate, ...]:
        """Every rate that a token of a prompt can fall under."""
        return (self.input, self.cached, *self.special_inputs)

    @property
    def outputs(self) -> tuple[Rate, ...]:
        """Every rate that a token of an answer can fall under."""
        return (self.output, *self.special_outputs)
