"""What a remote charges for tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quorate.ledger.money import from_float, round_up
from quorate.ledger.price_data import BundledPrices
from quorate.ledger.rates import FREE, Rate, Rates

CONFIGURATION = "configuration"
"""Version of a price that the operator set."""

# A price may change, as at night, while a request runs; none runs for longer than this.
_LONGEST_REQUEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """Prices of the configuration, in USD per million tokens; 0 for a server of one's own."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float


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
            cached_prompt_tokens: Those of them that the remote had in its cache.
            generated_tokens: All tokens of the answer, reasoning included.
        """
        rates = self.rates
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


class PriceBook:
    """Finds prices: the operator's own, else those that came with the package ``genai-prices``.

    Nothing is ever fetched: the bundled data are read, and the package's updater is not started.

    Args:
        bundled: Prices of the package, or None to know the operator's alone.
        clock: UTC epoch seconds; tests inject their own.
    """

    def __init__(
        self, bundled: BundledPrices | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._bundled = bundled
        self._clock = clock

    @classmethod
    def load(cls, clock: Callable[[], float] = time.time) -> PriceBook:
        """Reads the bundled prices, where the package is installed. Takes a fifth of a second."""
        return cls(BundledPrices.load(), clock)

    def price(
        self,
        model: str,
        provider: str | None = None,
        base_url: str | None = None,
        override: PriceOverride | None = None,
    ) -> Price | None:
        """The price of a model now, or None where it is not known, and the remote must not be used.

        Args:
            model: Name of the model, as the remote calls it.
            provider: Id of the provider, such as ``openai``.
            base_url: Where the remote is, to find the provider by where none is named.
            override: The operator's own price, which goes before any other.
        """
        if override is not None:
            return _configured(override)
        if self._bundled is None:
            return None
        now = self._clock()
        rates = self._bundled.find(model, provider, base_url, now)
        later = self._bundled.find(model, provider, base_url, now + _LONGEST_REQUEST_SECONDS)
        if rates is None or later is None:
            return None
        return Price(self._bundled.version, rates, (rates, later))

    def hint(self, model: str) -> str:
        """One line on what to do where the price of a model is not known."""
        own = "set input_usd_per_mtok and output_usd_per_mtok"
        if self._bundled is None:
            return f"no price of {model} is known; install quorate[remote], or {own}"
        return f"no price of {model} is known to {self._bundled.version}; {own}"


def _configured(override: PriceOverride) -> Price:
    own = Rate(from_float(override.input_usd_per_mtok))
    rates = Rates(own, own, Rate(from_float(override.output_usd_per_mtok)), FREE)
    return Price(CONFIGURATION, rates, (rates,))


def _most(rates: Sequence[Rate], prompt_tokens: int) -> Decimal:
    return max(rate.most(prompt_tokens) for rate in rates)


def _usd(*parts: tuple[Decimal, int]) -> Decimal:
    return round_up(sum((rate * count for rate, count in parts), Decimal(0)) / 1_000_000)
