"""The price list that is bundled with the package ``genai-prices``."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING

from quorate.ledger.rates import FREE, Rate, Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice, TieredPrices

_PACKAGE = "genai-prices"
_SPECIAL_INPUTS = (
    "input_text_mtok",
    "cache_write_mtok",
    "cache_write_5m_mtok",
    "cache_write_1h_mtok",
)
_SPECIAL_OUTPUTS = ("output_text_mtok", "output_reasoning_mtok", "output_citation_mtok")
_THOUSAND_IN_A_MILLION = 1000


class BundledPrices:
    """Prices as they were when the package was released.

    A snapshot of its own is used and not the package's current one, which an updater that somebody
    else starts in this process would replace. Nothing here uses the network.

    Args:
        snapshot: The data.
        version: Name and version of the package.
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
