"""Charges and reservations of the ledger, with what a test does not care about filled in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from quorate.ledger.charges import Charge, ModelCharge, Reservation
from quorate.request import EnergyTier

NOW = 1_790_000_000.0
"""When full charges end, in UTC epoch seconds."""

_ENTRY = {"attempt_id": "a", "request_id": "r", "started_at": 0.0, "plan_kind": "single"}
_FULL_ENTRY = {
    "attempt_id": "a1",
    "request_id": "r1",
    "started_at": NOW - 2.5,
    "key": "alice",
    "profile": "pair",
    "reserved_usd": Decimal("0.5"),
    "prompt_hash": "00ff",
}


def bare_charge(**fields: Any) -> Charge:
    """An attempt with one model that has finished and of which nothing else is known."""
    return Charge(**{**_ENTRY, "finished_at": 0.0, "outcome": "finished", **fields})


def full_charge(**fields: Any) -> Charge:
    """An attempt of which everything is known but the text of its prompt."""
    known = {
        "plan_kind": "ensemble",
        "finished_at": NOW,
        "outcome": "finished",
        "policy_version": "3",
        "plan": '{"members": ["a", "b"]}',
        "task": "code",
        "candidates": '[{"plan": "a"}]',
        "clause": "latency",
        "finish_reason": "stop_string",
        "prompt_tokens": 7,
        "cached_prompt_tokens": 3,
        "generated_tokens": 5,
        "time_to_first_token_ms": 12.25,
        "time_per_token_ms": 7.5,
        "duration_ms": 2500.0,
        "joules": 4.5,
        "tier": EnergyTier.ESTIMATED,
        "idle_joules": 0.25,
        "price_version": "genai-prices 0.2.3",
        "usd": Decimal("0.123456789"),
        "models": (
            ModelCharge("a", 7, 3, 5, 40.0, 1.5, EnergyTier.MEASURED),
            ModelCharge("b", 9, 0, 4, 60.0, 2.0, EnergyTier.ESTIMATED, Decimal("0.1")),
        ),
    }
    return Charge(**{**_FULL_ENTRY, **known, **fields})


def reservation(**fields: Any) -> Reservation:
    """A reservation for a remote, of the same attempt as the full charge."""
    return Reservation(**{**_FULL_ENTRY, "plan_kind": "remote", "model": "far", **fields})
