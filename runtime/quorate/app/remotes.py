"""The remotes of the configuration, and what they charge."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from quorate.ledger.price_book import PriceBook, PriceOverride
from quorate.ledger.prices import Price
from quorate.remotes.remote import Remote
from quorate.remotes.settings import RemoteSettings
from quorate.threads import beside_loop

_log = logging.getLogger(__name__)


def unpriced(settings: Mapping[str, RemoteSettings]) -> list[tuple[str, str]]:
    """Remotes of which nobody knows what they charge, and what to do."""
    book, price = _book(settings)
    return [(name, book.hint(one.model)) for name, one in settings.items() if price(name) is None]


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
            remotes[name] = await beside_loop(Remote, name, one)
        yield remotes, await beside_loop(_prices, settings)
    finally:
        for remote in remotes.values():
            await remote.close()


def _prices(settings: Mapping[str, RemoteSettings]) -> Callable[[str], Price | None]:
    """What each remote charges now."""
    book, price = _book(settings)
    for name, one in settings.items():
        if price(name) is None:
            _log.warning("remote %s is not used: %s", name, book.hint(one.model))
    return price


def _book(
    settings: Mapping[str, RemoteSettings],
) -> tuple[PriceBook, Callable[[str], Price | None]]:
    """A price list is read only where the operator gives no price."""
    listed = any(_override(one) is None for one in settings.values())
    book = PriceBook.load() if listed else PriceBook(None)

    def price(name: str) -> Price | None:
        one = settings[name]
        return book.price(one.model, one.provider or None, one.base_url, _override(one))

    return book, price


def _override(settings: RemoteSettings) -> PriceOverride | None:
    if settings.input_usd_per_mtok is None or settings.output_usd_per_mtok is None:
        return None
    return PriceOverride(settings.input_usd_per_mtok, settings.output_usd_per_mtok)
