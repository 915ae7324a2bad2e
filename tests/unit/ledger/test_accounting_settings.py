from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import SettingsError
from quorate.ledger.settings import BudgetLimits, BudgetSettings, LedgerSettings


def test_a_limit_that_is_not_named_is_none_and_zero_is_nothing() -> None:
    settings = BudgetSettings.from_mapping({"usd_per_day": 0, "joules_per_hour": 5e5}, "budgets")
    assert settings.everybody == BudgetLimits(5e5, math.inf, math.inf, 0.0)
    assert settings.keys == {}


def test_a_key_has_limits_of_its_own() -> None:
    mapping = {"keys": {"alice": {"usd_per_hour": 0.5}, "bob": {}}}
    settings = BudgetSettings.from_mapping(mapping, "budgets")
    assert settings.keys["alice"] == BudgetLimits(usd_per_hour=0.5)
    assert settings.keys["bob"] == BudgetLimits()


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"usd_per_dya": 1}, "budgets.usd_per_dya: unknown key; did you mean usd_per_day?"),
        ({"usd_per_day": -1}, "budgets.usd_per_day: must be from 0 to 1e+09, not -1.0"),
        ({"usd_per_day": math.inf}, "budgets.usd_per_day: must be from 0 to 1e+09, not inf"),
        ({"joules_per_day": math.inf}, "budgets.joules_per_day: must be finite and at least 0"),
        ({"joules_per_day": math.nan}, "budgets.joules_per_day: must be finite and at least 0"),
        ({"keys": []}, "budgets.keys: must be a table, not []"),
        ({"keys": {"a": 1}}, "budgets.keys.a: must be a table, not 1"),
        ({"keys": {"a": {"x": 1}}}, "budgets.keys.a.x: unknown key"),
        ({"keys": {"a": {"usd_per_day": "1"}}}, "budgets.keys.a.usd_per_day: must be a number"),
    ],
)
def test_limits_that_are_wrong_are_named(mapping: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        BudgetSettings.from_mapping(mapping, "budgets")
    assert caught.value.message.startswith(problem)


def test_a_ledger_is_in_the_data_folder_unless_it_is_put_elsewhere_or_off() -> None:
    data, folder = Path("/data"), Path("/etc/quorate")
    assert LedgerSettings().located(data, folder) == Path("/data/ledger.sqlite3")
    assert LedgerSettings("off").located(data, folder) is None
    assert LedgerSettings("own.db").located(data, folder) == Path("/etc/quorate/own.db")
    assert LedgerSettings("/own.db").located(data, folder) == Path("/own.db")


def test_a_home_that_nobody_has_is_refused() -> None:
    with pytest.raises(SettingsError, match="no such user"):
        LedgerSettings("~nobody-of-that-name/x").located(Path("/data"), Path("/etc"))


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"keep_days": 1}, "ledger.keep_days: must be from 2 to 36500, not 1"),
        ({"store_prompts": 1}, "ledger.store_prompts: must be true or false, not 1"),
        ({"pth": ""}, "ledger.pth: unknown key; did you mean path?"),
    ],
)
def test_ledger_settings_that_are_wrong_are_named(mapping: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        LedgerSettings.from_mapping(mapping, "ledger")
    assert caught.value.message == problem
