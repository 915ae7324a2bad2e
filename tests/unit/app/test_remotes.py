from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest

from quorate.app.remotes import open_remotes
from quorate.errors import SettingsError
from quorate.remotes import RemoteSettings
from support.faulty_remote import faulty_remote

OWN_PRICE = {"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 8.0}
UNKNOWN_MODEL = "a-model-that-nobody-sells"


def settings(**tables: dict[str, Any]) -> dict[str, RemoteSettings]:
    return {
        name: RemoteSettings.from_mapping(
            {"base_url": "http://127.0.0.1:9/v1", "model": UNKNOWN_MODEL, **table},
            f"remotes.{name}",
        )
        for name, table in tables.items()
    }


async def test_without_remotes_there_is_nothing_to_open() -> None:
    async with open_remotes({}) as (remotes, _):
        assert remotes == {}


async def test_a_remote_has_the_price_of_the_configuration() -> None:
    async with open_remotes(settings(far=OWN_PRICE)) as (remotes, price):
        assert list(remotes) == ["far"]
        assert remotes["far"].available() is None
        known = price("far")
    assert known is not None
    assert known.version == "configuration"
    assert known.cost(1_000_000, 0, 500_000) == Decimal(6)


async def test_one_without_a_price_has_that_of_the_price_list() -> None:
    listed = {"base_url": "https://api.openai.com/v1", "model": "gpt-4o-mini"}
    async with open_remotes(settings(cloud=listed)) as (_, price):
        known = price("cloud")
    assert known is not None
    assert known.version.startswith("genai-prices")
    assert known.cost(1_000_000, 0, 0) > 0


async def test_one_whose_price_nobody_knows_is_told_of_and_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with open_remotes(settings(far={}, near=OWN_PRICE)) as (remotes, price):
        assert set(remotes) == {"far", "near"}
        assert price("far") is None
        assert price("near") is not None
    (line,) = caplog.messages
    assert line.startswith("remote far is not used: no price of a-model-that-nobody-sells")
    assert "\n" not in line


async def test_a_free_remote_has_a_price() -> None:
    free = {"input_usd_per_mtok": 0.0, "output_usd_per_mtok": 0.0}
    async with open_remotes(settings(far=free)) as (_, price):
        known = price("far")
    assert known is not None
    assert known.ceiling(1000, 1000) == 0


async def test_a_key_that_is_missing_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(SettingsError) as refusal:
        async with open_remotes(settings(near=OWN_PRICE, far={"api_key_env": "NO_SUCH_KEY"})):
            pytest.fail("the remotes were opened")
    assert refusal.value.message.startswith(
        "remotes.far.api_key_env: the environment variable NO_SUCH_KEY is not set"
    )


async def test_nothing_is_connected_to_and_all_are_closed() -> None:
    async with faulty_remote() as server:
        table = {"base_url": server.base_url, **OWN_PRICE}
        async with open_remotes(settings(far=table)) as (remotes, _):
            pass
        assert server.requests == []
        assert remotes["far"].available() == "it is closed"
