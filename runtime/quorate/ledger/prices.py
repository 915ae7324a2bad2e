"""What a remote charges for tokens: rates with their tiers, and the price made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from quorate.ledger.money import round_up


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


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model at one time. Amounts are exact, in whole nano-dollars, rounded up.

    Attributes:
        version: Where it is from: ``genai-prices`` with its version, or ``configuration``.
        rates: What holds now.
        soon: All that may hold before a request that begins now has ended.
    """

    version: str
    rates: Rates
    soon: tuple[Rates, ...]

    def cost(self, prompt_tokens: int, cached_prompt_tokens: int, generated_tokens: int) -> Decimal:
        """What a request costs in USD.

        Args:
            prompt_tokens: All tokens of the prompt.
            cached_prompt_tokens: Those of them that the remote had in its cache; where that cannot
                be, because they are more or fewer than none, no discount holds.
            generated_tokens: All tokens of the answer, reasoning included.
        """
        rates = self.rates
        prompt_tokens, generated_tokens = max(0, prompt_tokens), max(0, generated_tokens)
        if not 0 <= cached_prompt_tokens <= prompt_tokens:
            cached_prompt_tokens = 0
        return _usd(
            (rates.input.at(prompt_tokens), prompt_tokens - cached_prompt_tokens),
            (rates.cached.at(prompt_tokens), cached_prompt_tokens),
            (rates.output.at(prompt_tokens), generated_tokens),
            (rates.request.at(prompt_tokens), 1),
        )

    def ceiling(self, prompt_tokens: int, max_tokens: int) -> Decimal:
        """Most that any request can cost in USD whose prompt and answer are no longer than these.

        It takes the dearest price that such a request can meet: each tier that its prompt reaches,
        tokens written to a cache, reasoning, and a change of prices while it runs.
        """
        rates = self.soon
        return _usd(
            (_most([rate for r in rates for rate in r.inputs], prompt_tokens), prompt_tokens),
            (_most([rate for r in rates for rate in r.outputs], prompt_tokens), max_tokens),
            (_most([r.request for r in rates], prompt_tokens), 1),
        )


def _most(rates: Sequence[Rate], prompt_tokens: int) -> Decimal:
    return max(rate.most(prompt_tokens) for rate in rates)


def _usd(*parts: tuple[Decimal, int]) -> Decimal:
    return round_up(sum((rate * count for rate, count in parts), Decimal(0)) / 1_000_000)
