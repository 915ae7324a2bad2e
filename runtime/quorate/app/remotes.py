"""The remotes of the configuration, and what they charge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from quorate.ledger.price_book import PriceBook, PriceOverride
from quorate.ledger.prices import Price
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_remotes(
    settings: Mapping[str, RemoteSettings],
) -> AsyncIterator[tuple[dict[str, Remote], Callable[[str], Price | None]]]:
    """Makes the remotes, and a way to ask for their prices. Nothing is connected to.

    Raises:
        SettingsError: A key is missing, or the ``remote`` extra is not installed.
    """
    remotes: dict[str, Remote] = {}
    try:
        for name, one in settings.items():
            # Its client takes half a second to import.
            remotes[name] = await asyncio.to_thread(Remote, name, one)
        yield remotes, await asyncio.to_thread(_prices, settings)
    finally:
        for remote in remotes.values():
            await remote.close()


def _prices(settings: Mapping[str, RemoteSettings]) -> Callable[[str], Price | None]:
    """What each remote charges now. A price list is read only where the operator gives no price."""
    listed = [name for name, one in settings.items() if _override(one) is None]
    book = PriceBook.load() if listed else PriceBook(None)

    def price(name: str) -> Price | None:
        one = settings[name]
        return book.price(one.model, one.provider or None, one.base_url, _override(one))

    for name in listed:
        if price(name) is None:
            _log.warning("remote %s is not used: %s", name, book.hint(settings[name].model))
    return price


def _override(settings: RemoteSettings) -> PriceOverride | None:
    if settings.input_usd_per_mtok is None or settings.output_usd_per_mtok is None:
        return None
    return PriceOverride(settings.input_usd_per_mtok, settings.output_usd_per_mtok)
