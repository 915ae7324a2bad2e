"""Limits that change while requests run."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quorate.errors import BudgetSpent
from quorate.ledger.budgets import Budgets
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.ledger.spending import SpendEvent

NOW = 1_000_000.0


def budgets(**limits: float) -> Budgets:
    return Budgets(BudgetSettings(BudgetLimits(**limits)), clock=lambda: 500.0)


def figures(kept: Budgets, key: str = "") -> dict[str, tuple[float, float, float]]:
    return {one.name: (one.limit, one.spent, one.held) for one in kept.status(key)}


def test_a_window_keeps_what_is_spent_and_held_at_its_new_limit() -> None:
    kept = budgets(joules_per_hour=10.0)
    kept.settle(kept.hold("", 4.0, None), 3.0, None)
    running = kept.hold("", 2.0, None)
    kept.change(BudgetSettings(BudgetLimits(joules_per_hour=5.0)), (), NOW)
    assert figures(kept) == {"joules per hour": (5.0, 3.0, 2.0)}
    with pytest.raises(BudgetSpent):
        kept.hold("", 1.0, None)
    kept.settle(running, 1.0, None)
    assert figures(kept) == {"joules per hour": (5.0, 4.0, 0.0)}


def test_a_new_window_knows_what_was_spent_before_and_what_is_held_now() -> None:
    kept = budgets()
    running = kept.hold("alice", 2.0, Decimal("0.25"))
    kept.hold("bob", 1.0, None)
    events = [SpendEvent(NOW - 10.0, "alice", 4.0, Decimal("0.5"))]
    limits = BudgetLimits(joules_per_day=100.0, usd_per_day=2.0)
    kept.change(BudgetSettings(BudgetLimits(), {"alice": limits}), events, NOW)
    assert figures(kept) == {}
    assert figures(kept, "alice") == {
        "joules per day of key alice": (100.0, 4.0, 2.0),
        "usd per day of key alice": (2.0, 0.5, 0.25),
    }
    kept.settle(running, 1.0, Decimal("0.125"))
    assert figures(kept, "alice") == {
        "joules per day of key alice": (100.0, 5.0, 0.0),
        "usd per day of key alice": (2.0, 0.625, 0.0),
    }


def test_a_window_that_is_gone_takes_nothing_with_it() -> None:
    kept = budgets(joules_per_hour=10.0, joules_per_day=20.0)
    running = kept.hold("", 5.0, None)
    kept.change(BudgetSettings(BudgetLimits(joules_per_day=20.0)), (), NOW)
    kept.release(running)
    assert figures(kept) == {"joules per day": (20.0, 0.0, 0.0)}
