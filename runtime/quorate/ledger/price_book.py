"""Where prices come from: the configuration, or the list bundled with ``genai-prices``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING

from quorate.ledger.money import from_float
from quorate.ledger.prices import FREE, Price, Rate, Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice, TieredPrices

CONFIGURATION = "configuration"
"""Version of a price that the operator set."""

# A price may change, as at night, while a request runs; none runs for longer than this.
_LONGEST_REQUEST_SECONDS = 3600.0

_PACKAGE = "genai-prices"
_SPECIAL_INPUTS = (
    "input_text_mtok",
    "cache_write_mtok",
    "cache_write_5m_mtok",
    "cache_write_1h_mtok",
)
_SPECIAL_OUTPUTS = ("output_text_mtok", "output_reasoning_mtok", "output_citation_mtok")
_THOUSAND_IN_A_MILLION = 1000


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """Prices of the configuration, in USD per million tokens; 0 for a server of one's own."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float


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


class BundledPrices:
    """Prices as they were when the package was released.

    A snapshot of its own is used and not the package's current one, which an updater that somebody
    else starts in this process would replace. Nothing here uses the network.
    """

    def __init__(self, snapshot: DataSnapshot, version: str) -> None:
        self._snapshot = snapshot
        self.version = version

    @classmethod
    def load(cls) -> BundledPrices | None:
        """Reads the data; None where the package is not installed."""
        try:
            from genai_prices.data import providers
            from genai_prices.data_snapshot import DataSnapshot
        except ImportError:
            return None
        snapshot = DataSnapshot(providers=providers, from_auto_update=False)
        return cls(snapshot, f"{_PACKAGE} {metadata.version(_PACKAGE)}")

    def find(
        self, model: str, provider: str | None, base_url: str | None, at: float
    ) -> Rates | None:
        """Rates of a model at a time in UTC epoch seconds; None where they are not known.

        A model that is charged for by something other than tokens and requests has none.
        """
        try:
            _, found = self._snapshot.find_provider_model(model, None, provider, base_url)
        except LookupError:
            return None
        return _rates(found.get_prices(datetime.fromtimestamp(at, UTC)))


def _rates(price: ModelPrice) -> Rates | None:
    own = _rate(price.input_mtok)
    output = _rate(price.output_mtok)
    if own is None or output is None:
        return None
    return Rates(
        input=own,
        cached=_rate(price.cache_read_mtok) or own,
        output=output,
        request=_rate(price.requests_kcount, _THOUSAND_IN_A_MILLION) or FREE,
        special_inputs=_special(price, _SPECIAL_INPUTS),
        special_outputs=_special(price, _SPECIAL_OUTPUTS),
    )


def _special(price: ModelPrice, names: tuple[str, ...]) -> tuple[Rate, ...]:
    rates = (_rate(getattr(price, name)) for name in names)
    return tuple(rate for rate in rates if rate is not None)


def _rate(price: Decimal | TieredPrices | None, scale: int = 1) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(price * scale)
    return Rate(price.base * scale, tuple((tier.start, tier.price * scale) for tier in price.tiers))
