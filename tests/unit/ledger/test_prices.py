from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata

import pytest
from genai_prices import Usage
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from hypothesis import assume, given
from hypothesis import strategies as st

from quorate.ledger.money import round_up
from quorate.ledger.price_book import BundledPrices, PriceBook, PriceOverride
from quorate.ledger.prices import FREE, Price, Rate, Rates

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BOOK = PriceBook.load(clock=AT.timestamp)
MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]


def known(model: str, provider: str, at: datetime = AT) -> Price:
    price = PriceBook(BundledPrices.load(), at.timestamp).price(model, provider)
    assert price is not None
    return price


def test_a_price_says_which_release_it_is_from() -> None:
    assert (
        known("gpt-4o-mini", "openai").version == f"genai-prices {metadata.version('genai-prices')}"
    )


def test_cached_tokens_have_a_price_of_their_own() -> None:
    price = known("gpt-4o-mini", "openai")
    assert price.cost(1_000_000, 0, 0) == Decimal("0.15")
    assert price.cost(1_000_000, 1_000_000, 0) == Decimal("0.075")
    assert price.cost(0, 0, 1_000_000) == Decimal("0.6")
    assert price.cost(1000, 400, 10) == Decimal("0.000126")


@pytest.mark.parametrize("cached", [1001, 965_602, -1])
def test_a_discount_on_more_than_the_prompt_is_none(cached) -> None:
    price = known("gpt-4o-mini", "openai")
    assert price.cost(1000, cached, 10) == price.cost(1000, 0, 10) > 0


def test_a_tier_holds_for_all_tokens_of_a_prompt_that_reaches_it() -> None:
    price = known("gemini-2.5-pro", "google")
    assert price.cost(200_000, 0, 0) == Decimal("0.25")
    assert price.cost(200_001, 0, 0) == Decimal("0.5000025")


def test_a_ceiling_covers_no_tier_that_the_prompt_cannot_reach() -> None:
    price = known("gemini-2.5-pro", "google")
    assert price.ceiling(200_000, 1000) == price.cost(200_000, 0, 1000)
    assert price.ceiling(200_001, 1000) == price.cost(200_001, 0, 1000)


def test_a_ceiling_covers_tokens_that_are_written_to_a_cache() -> None:
    price = known("claude-sonnet-4-5", "anthropic")
    assert price.ceiling(1_000, 0) == Decimal("0.006") > price.cost(1_000, 0, 0)


def test_a_ceiling_covers_a_price_that_rises_while_the_request_runs() -> None:
    night = datetime(2026, 11, 20, 0, 15, tzinfo=UTC)
    cheap, dear = known("deepseek-chat", "deepseek", night), known("deepseek-chat", "deepseek")
    assert cheap.cost(10**6, 0, 0) < dear.cost(10**6, 0, 0)
    assert cheap.ceiling(10**6, 0) == dear.cost(10**6, 0, 0)


@given(
    st.sampled_from(MODELS),
    st.integers(0, 2_000_000),
    st.integers(0, 2_000_000),
    st.integers(0, 100_000),
)
def test_costs_agree_with_the_package_to_the_nano_dollar(
    name: tuple[str, str], prompt: int, cached: int, generated: int
) -> None:
    provider, model = name
    price = BOOK.price(model, provider)
    assume(price is not None)
    assert price is not None
    cached = min(prompt, cached)
    snapshot = DataSnapshot(providers=providers, from_auto_update=False)
    usage = Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=generated)
    theirs = snapshot.calc(usage, model, provider, None, AT)
    assert price.cost(prompt, cached, generated) == round_up(theirs.total_price)


def test_models_that_are_charged_by_tokens_have_a_price_and_no_others() -> None:
    snapshot = DataSnapshot(providers=providers, from_auto_update=False)
    for provider, model in MODELS:
        try:
            _, found = snapshot.find_provider_model(model, None, provider, None)
        except LookupError:
            by_tokens = False
        else:
            theirs = found.get_prices(AT)
            by_tokens = theirs.input_mtok is not None and theirs.output_mtok is not None
        assert (BOOK.price(model, provider) is not None) is by_tokens


rates = st.builds(
    Rate,
    st.decimals(0, 100, places=4),
    st.lists(st.tuples(st.integers(0, 1000), st.decimals(0, 100, places=4)), max_size=3).map(
        lambda tiers: tuple(sorted(tiers))
    ),
)
lists = st.builds(
    Rates, rates, rates, rates, rates, st.tuples(rates) | st.just(()), st.tuples(rates)
)


@given(st.builds(Price, st.just("v"), lists, st.just(())), lists, st.data())
def test_no_request_within_its_lengths_costs_more_than_the_ceiling(
    price: Price, later: Rates, data: st.DataObject
) -> None:
    price = Price("v", price.rates, (price.rates, later))
    prompt = data.draw(st.integers(0, 1500))
    generated = data.draw(st.integers(0, 1500))
    ceiling = price.ceiling(prompt, generated)
    shorter = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, shorter))
    for holding in (price.rates, later):
        cost = Price("v", holding, ()).cost(shorter, cached, data.draw(st.integers(0, generated)))
        assert cost <= ceiling


def test_the_operators_price_goes_before_any_other() -> None:
    price = BOOK.price("gpt-4o-mini", "openai", override=PriceOverride(0.1, 0.2))
    assert price is not None
    assert price.version == "configuration"
    assert price.cost(1_000_000, 500_000, 1_000_000) == Decimal("0.3")
    assert price.ceiling(1_000_000, 1_000_000) == Decimal("0.3")


def test_a_server_of_ones_own_costs_nothing() -> None:
    price = BOOK.price("anything", override=PriceOverride(0, 0))
    assert price is not None
    assert price.ceiling(10**6, 10**6) == 0


@pytest.mark.parametrize(
    ("model", "provider", "base_url"),
    [
        ("no-such-model", "openai", None),
        ("gpt-4o-mini", "no-such-provider", None),
        ("gpt-4o-mini", None, "http://192.0.2.1:8000/v1"),
        ("no-such-model", None, None),
        ("whisper-1", "openai", None),
    ],
)
def test_what_is_not_known_has_no_price(
    model: str, provider: str | None, base_url: str | None
) -> None:
    assert BOOK.price(model, provider, base_url) is None
    assert "set input_usd_per_mtok and output_usd_per_mtok" in BOOK.hint(model)


def test_a_provider_is_found_by_its_address() -> None:
    by_address = BOOK.price("gpt-4o-mini", base_url="https://api.openai.com/v1")
    assert by_address == known("gpt-4o-mini", "openai")


def test_without_the_package_only_the_operators_prices_are_known() -> None:
    book = PriceBook(None)
    assert book.price("gpt-4o-mini", "openai") is None
    assert book.price("gpt-4o-mini", override=PriceOverride(1, 1)) is not None
    assert "install quorate[remote]" in book.hint("gpt-4o-mini")


def test_a_package_that_is_not_installed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    assert BundledPrices.load() is None


NO_NETWORK = """
import sys, threading
from decimal import Decimal

def refuse(event, arguments):
    if event.startswith("socket."):
        print("network:", event, arguments, flush=True)
        sys.exit(3)

import quorate.ledger.price_book as prices
assert "genai_prices" not in sys.modules
sys.addaudithook(refuse)
book = prices.PriceBook.load()
assert book.price("gpt-4o-mini", "openai").cost(10**6, 0, 0) == Decimal("0.15")
assert book.price("gpt-9", "openai") is None
assert threading.active_count() == 1
from genai_prices import update_prices
assert update_prices._shared_updater.ref_count == 0
"""


def test_prices_are_found_without_a_socket_or_a_thread() -> None:
    run = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_prices_that_somebody_else_updates_in_this_process_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = DataSnapshot(providers=[], from_auto_update=True)
    monkeypatch.setattr("genai_prices.data_snapshot._custom_snapshot", empty)
    assert PriceBook.load().price("gpt-4o-mini", "openai") is not None


def test_a_rate_without_tiers_is_the_same_for_every_prompt() -> None:
    assert [FREE.at(0), FREE.most(10**9), Rate(Decimal(2)).at(10**9)] == [0, 0, 2]
