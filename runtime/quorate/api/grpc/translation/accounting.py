"""Questions to the ledger and its answers, between protobuf and domain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quorate.access import limits
from quorate.api.grpc.translation.charged_plans import considered, decided
from quorate.api.grpc.translation.decisions import KINDS
from quorate.api.grpc.translation.responses import TIERS, energy_message
from quorate.errors import InvalidRequest
from quorate.ledger.budgets import WindowStatus
from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.spending import ChargeFilter, Dimension, SpendFilter, SpendRow
from quorate.metering.account import EnergyTotals
from quorate.request import EnergyTier, PlanKind, lowest_tier
from quorate.v1 import accounting_pb2

DIMENSIONS = {accounting_pb2.SpendGroup.Value(f"SPEND_GROUP_{one.name}"): one for one in Dimension}

_UNITS = {"joules": accounting_pb2.BUDGET_UNIT_JOULES, "usd": accounting_pb2.BUDGET_UNIT_USD}


def charge_filter(message: accounting_pb2.ChargeFilter, key: str | None) -> ChargeFilter:
    """Which charges are asked for, of those of the key that may be seen; None is all of them.

    Raises:
        InvalidRequest: A time that is no number.
    """
    since, until = times(message)
    return ChargeFilter(
        key=key,
        profile=message.profile or None,
        model=message.model or None,
        request_id=message.request_id or None,
        since=since,
        until=until,
    )


def spend_filter(message: accounting_pb2.ChargeFilter, key: str | None) -> SpendFilter:
    """Which spending is asked for; the key is as for ``charge_filter``.

    Raises:
        InvalidRequest: A single request, which sums cannot tell apart.
    """
    if message.request_id:
        raise InvalidRequest("filter.request_id", "is for single charges; ask ListCharges")
    return SpendFilter(key=key, profile=message.profile or None, model=message.model or None)


def times(message: accounting_pb2.ChargeFilter) -> tuple[float | None, float | None]:
    """The beginning and the end of what is asked for, in UTC epoch seconds.

    Raises:
        InvalidRequest: One that is no finite number.
    """
    since = message.since if message.HasField("since") else None
    until = message.until if message.HasField("until") else None
    return (
        limits.epoch_seconds("filter.since", since),
        limits.epoch_seconds("filter.until", until),
    )


def dimensions(groups: Iterable[int]) -> list[Dimension]:
    """What sums are asked for.

    Raises:
        InvalidRequest: A number that stands for nothing.
    """
    found = []
    for index, group in enumerate(groups):
        if group not in DIMENSIONS:
            known = ", ".join(accounting_pb2.SpendGroup.keys()[1:])
            raise InvalidRequest(
                f"group_by[{index}]", f"has the unknown value {group}; known: {known}"
            )
        found.append(DIMENSIONS[group])
    return found


def window_message(window: WindowStatus) -> accounting_pb2.BudgetWindow:
    """Translates the state of a window."""
    message = accounting_pb2.BudgetWindow(
        name=window.name,
        unit=_UNITS[window.unit],
        seconds=window.seconds,
        limit=window.limit,
        spent=window.spent,
        held=window.held,
        left=window.remaining,
    )
    if window.spent > 0:
        message.resets_in_seconds = window.resets_in_seconds
    return message


def charge_message(charge: Charge) -> accounting_pb2.Charge:
    """Translates a row of the ledger."""
    return accounting_pb2.Charge(
        attempt_id=charge.attempt_id,
        request_id=charge.request_id,
        key=charge.key,
        started_at=charge.started_at,
        finished_at=charge.finished_at,
        policy_version=charge.policy_version,
        plan_kind=KINDS[PlanKind(charge.plan_kind)],
        plan=charge.plan,
        profile=charge.profile,
        task=charge.task,
        candidates=charge.candidates,
        clause=charge.clause,
        outcome=charge.outcome,
        finish_reason=charge.finish_reason,
        prompt_tokens=charge.prompt_tokens,
        cached_prompt_tokens=charge.cached_prompt_tokens,
        generated_tokens=charge.generated_tokens,
        time_to_first_token_ms=charge.time_to_first_token_ms,
        time_per_token_ms=charge.time_per_token_ms,
        duration_ms=charge.duration_ms,
        idle_joules=charge.idle_joules,
        price_version=charge.price_version,
        reserved_usd=None if charge.reserved_usd is None else float(charge.reserved_usd),
        usd=None if charge.usd is None else float(charge.usd),
        prompt_hash=charge.prompt_hash,
        prompt_text=charge.prompt_text or "",
        energy=energy_message(charge.joules, charge.tier),
        models=map(_part_message, charge.models),
        considered=considered(charge.candidates),
        decided=decided(charge.plan),
    )


def _part_message(part: ModelCharge) -> accounting_pb2.ModelCharge:
    return accounting_pb2.ModelCharge(
        model=part.model,
        prompt_tokens=part.prompt_tokens,
        cached_prompt_tokens=part.cached_prompt_tokens,
        generated_tokens=part.generated_tokens,
        busy_ms=part.busy_ms,
        usd=None if part.usd is None else float(part.usd),
        energy=energy_message(part.joules, part.tier),
    )


def spend_message(row: SpendRow) -> accounting_pb2.Spend:
    """Translates the sums of a group."""
    return accounting_pb2.Spend(
        group={dimension.value: value for dimension, value in row.group.items()},
        requests=row.attempts,
        prompt_tokens=row.prompt_tokens,
        generated_tokens=row.generated_tokens,
        without_energy=row.attempts_without_joules,
        usd=None if row.usd is None else float(row.usd),
        energy=energy_message(row.joules, row.tier),
    )


def machine_message(totals: Mapping[str, EnergyTotals]) -> accounting_pb2.MachineEnergy:
    """Translates what the counters of the machine counted, over all of them."""
    known = list(totals.values())
    if not known:
        return accounting_pb2.MachineEnergy(tier=TIERS[EnergyTier.UNAVAILABLE])
    return accounting_pb2.MachineEnergy(
        tier=TIERS[lowest_tier(one.tier for one in known)],
        counter_joules=sum(one.counter_joules for one in known),
        request_joules=sum(one.request_joules for one in known),
        idle_joules=sum(one.idle_joules for one in known),
        unattributed_joules=sum(one.unattributed_joules for one in known),
    )
