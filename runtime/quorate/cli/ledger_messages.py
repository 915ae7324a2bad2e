"""From the messages of ``AccountingService`` to the values that a ledger's file gives."""

from __future__ import annotations

from decimal import Decimal

from quorate.cli.plan_words import kind_name
from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.spending import Dimension, SpendRow
from quorate.request import EnergyTier
from quorate.v1 import accounting_pb2, inference_pb2

_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: EnergyTier.MEASURED,
    inference_pb2.ENERGY_TIER_ESTIMATED: EnergyTier.ESTIMATED,
}
_UNCHANGED = (
    "attempt_id",
    "request_id",
    "key",
    "started_at",
    "finished_at",
    "policy_version",
    "plan",
    "profile",
    "task",
    "candidates",
    "clause",
    "outcome",
    "finish_reason",
    "prompt_tokens",
    "cached_prompt_tokens",
    "generated_tokens",
    "price_version",
    "prompt_hash",
)


def charge_of(message: accounting_pb2.Charge) -> Charge:
    """A charge as the ledger keeps it; dollars have come as floats."""
    joules, tier = _energy(message.energy)
    return Charge(
        **{name: getattr(message, name) for name in _UNCHANGED},
        plan_kind=kind_name(message.plan_kind),
        time_to_first_token_ms=(
            message.time_to_first_token_ms if message.HasField("time_to_first_token_ms") else None
        ),
        time_per_token_ms=(
            message.time_per_token_ms if message.HasField("time_per_token_ms") else None
        ),
        # A lost attempt has none, which its message cannot tell from 0.
        duration_ms=message.duration_ms if message.HasField("duration_ms") else None,
        joules=joules,
        tier=tier,
        idle_joules=message.idle_joules if message.HasField("idle_joules") else None,
        reserved_usd=_usd(message.reserved_usd) if message.HasField("reserved_usd") else None,
        usd=_usd(message.usd) if message.HasField("usd") else None,
        prompt_text=message.prompt_text or None,
        models=tuple(map(_part, message.models)),
    )


def spend_of(message: accounting_pb2.Spend) -> SpendRow:
    """Sums of a group. Tokens that were cached are not told, and counted as none."""
    joules, tier = _energy(message.energy)
    return SpendRow(
        group={Dimension(name): value for name, value in message.group.items()},
        attempts=message.requests,
        prompt_tokens=message.prompt_tokens,
        cached_prompt_tokens=0,
        generated_tokens=message.generated_tokens,
        joules=joules,
        attempts_without_joules=message.without_energy,
        tier=tier,
        usd=_usd(message.usd),
    )


def _part(message: accounting_pb2.ModelCharge) -> ModelCharge:
    joules, tier = _energy(message.energy)
    return ModelCharge(
        model=message.model,
        prompt_tokens=message.prompt_tokens,
        cached_prompt_tokens=message.cached_prompt_tokens,
        generated_tokens=message.generated_tokens,
        busy_ms=message.busy_ms,
        joules=joules,
        tier=tier,
        usd=_usd(message.usd) if message.HasField("usd") else None,
    )


def _energy(message: inference_pb2.Energy) -> tuple[float | None, EnergyTier]:
    joules = message.joules if message.HasField("joules") else None
    return joules, _TIERS.get(message.tier, EnergyTier.UNAVAILABLE)


def _usd(usd: float) -> Decimal:
    return Decimal(str(usd))
