from __future__ import annotations

import math
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from quorate.api.grpc.translation import accounting
from quorate.api.grpc.translation.decisions import fill_decision
from quorate.dispatch.charges import candidates_json, plan_json
from quorate.errors import InvalidRequest
from quorate.ledger.budgets import WindowStatus
from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.spending import ChargeFilter, Dimension, SpendFilter, SpendRow
from quorate.metering.account import EnergyTotals
from quorate.request import (
    Candidate,
    Clause,
    DecidedStage,
    EnergyTier,
    Forecast,
    PlanKind,
    Rejection,
    Route,
)
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2
from support.attempts import vote_decision
from support.charges import bare_charge, full_charge

CHARGE = full_charge(
    plan_kind="remote",
    joules=1.25,
    prompt_text="x",
    models=(ModelCharge("far", 7, 3, 5, 900.0, 1.25, EnergyTier.MEASURED, Decimal("0.001")),),
)
BARE = bare_charge(outcome="lost", models=(ModelCharge("a"),))
OPTIONAL = ("time_to_first_token_ms", "time_per_token_ms", "idle_joules", "reserved_usd", "usd")
WINDOW = WindowStatus("usd per day", "usd", 86_400.0, 2.0, 0.5, 0.25, 1.25, 60.0)


def test_every_field_of_a_charge_is_told() -> None:
    message = accounting.charge_message(CHARGE)
    renamed = {"joules", "tier", "models", "plan_kind"}
    for name in {field.name for field in fields(Charge)} - renamed:
        expected = getattr(CHARGE, name)
        assert getattr(message, name) == (
            float(expected) if isinstance(expected, Decimal) else expected
        ), name
    assert message.plan_kind == plan_pb2.PLAN_KIND_REMOTE
    assert message.energy == inference_pb2.Energy(
        joules=1.25, tier=inference_pb2.ENERGY_TIER_ESTIMATED
    )
    (part,) = message.models
    assert part == accounting_pb2.ModelCharge(
        model="far",
        prompt_tokens=7,
        cached_prompt_tokens=3,
        generated_tokens=5,
        busy_ms=900.0,
        energy={"joules": 1.25, "tier": inference_pb2.ENERGY_TIER_MEASURED},
        usd=0.001,
    )


def test_the_plans_of_a_charge_are_messages_as_well() -> None:
    slow = Rejection(Clause.LATENCY, "too slow", 90.0, 50.0)
    forecast = Forecast(time_ms=40.0, joules=1.5, cold=False, limited_by_tokens=256)
    one = Candidate("single:a", PlanKind.SINGLE, ("a",), forecast, 0.5, 0.25, (slow,), chosen=True)
    other = Candidate("remote:far", PlanKind.REMOTE, ("far",))
    vote = vote_decision({"a": 0.25, "b": 0.75})
    decided = replace(vote, route=Route(candidates=(one, other)))
    row = replace(CHARGE, plan=plan_json(decided), candidates=candidates_json(decided))
    message = accounting.charge_message(row)
    expected = plan_pb2.Decision()
    fill_decision(expected, decided)
    assert list(message.considered) == list(expected.candidates)
    ensemble = message.decided.ensemble
    assert {member.model: member.weight for member in ensemble.members} == {"a": 0.25, "b": 0.75}
    assert ensemble.rule == plan_pb2.COMBINATION_RULE_LINEAR
    stages = (DecidedStage(replace(vote, members=vote.members[:1]), 0.5), DecidedStage(vote, 0.0))
    cascade = replace(vote, route=Route(kind=PlanKind.CASCADE, stages=stages))
    first, last = accounting.charge_message(
        replace(CHARGE, plan=plan_json(cascade))
    ).decided.cascade.stages
    assert (first.single.model, first.confidence) == ("a", 0.5)
    assert [member.model for member in last.ensemble.members] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        "[" * 10_000,
        '{"members": 1}',
        '[{"rejections": [1]}]',
        "[]" * 65_537,
    ],
)
def test_what_cannot_be_read_of_the_ledgers_json_is_left_out(text: str) -> None:
    message = accounting.charge_message(replace(CHARGE, plan=text, candidates=text))
    assert list(message.considered) == []
    assert not message.HasField("decided")
    assert (message.plan, message.candidates) == (text, text)


def test_what_is_not_known_of_a_charge_is_absent() -> None:
    message = accounting.charge_message(BARE)
    assert [name for name in OPTIONAL if message.HasField(name)] == []
    assert message.prompt_text == ""
    for told in (message, message.models[0]):
        assert not told.energy.HasField("joules")
        assert told.energy.tier == inference_pb2.ENERGY_TIER_UNAVAILABLE
        assert not told.HasField("usd")


def test_what_is_known_is_there_even_where_it_is_zero() -> None:
    zero = Decimal(0)
    part = replace(CHARGE.models[0], joules=0.0, usd=zero)
    message = accounting.charge_message(
        replace(CHARGE, joules=0.0, idle_joules=0.0, usd=zero, reserved_usd=zero, models=(part,))
    )
    assert message.energy.HasField("joules")
    assert message.models[0].energy.HasField("joules")
    for name in ("usd", "reserved_usd", "idle_joules"):
        assert message.HasField(name)
        assert getattr(message, name) == 0.0
    assert message.models[0].HasField("usd")
    assert message.models[0].usd == 0.0


def test_a_window_is_told_with_its_unit() -> None:
    message = accounting.window_message(WINDOW)
    assert message == accounting_pb2.BudgetWindow(
        name="usd per day",
        unit=accounting_pb2.BUDGET_UNIT_USD,
        seconds=86_400.0,
        limit=2.0,
        spent=0.5,
        held=0.25,
        left=1.25,
        resets_in_seconds=60.0,
    )
    joules = accounting.window_message(replace(WINDOW, unit="joules"))
    assert joules.unit == accounting_pb2.BUDGET_UNIT_JOULES


def test_a_window_of_which_nothing_was_spent_has_nothing_to_reset() -> None:
    message = accounting.window_message(replace(WINDOW, spent=0.0, resets_in_seconds=0.0))
    assert not message.HasField("resets_in_seconds")


def test_a_group_is_told_by_the_names_of_its_dimensions() -> None:
    group = {Dimension.KEY: "alice", Dimension.DAY: "2026-11-24"}
    row = SpendRow(group, 3, 30, 5, 12, 4.5, 1, EnergyTier.MEASURED, Decimal("0.25"))
    message = accounting.spend_message(row)
    assert dict(message.group) == {"key": "alice", "day": "2026-11-24"}
    assert (message.requests, message.prompt_tokens, message.generated_tokens) == (3, 30, 12)
    assert (message.energy.joules, message.without_energy, message.usd) == (4.5, 1, 0.25)
    assert message.energy.tier == inference_pb2.ENERGY_TIER_MEASURED
    unknown = accounting.spend_message(
        replace(row, joules=None, tier=EnergyTier.UNAVAILABLE, usd=None)
    )
    assert not unknown.energy.HasField("joules")


def test_the_machines_domains_are_summed_under_the_lowest_tier() -> None:
    message = accounting.machine_message(
        {
            "package": EnergyTotals(EnergyTier.MEASURED, 10.0, 6.0, 3.0, 1.0),
            "cpu-time": EnergyTotals(EnergyTier.ESTIMATED, 5.0, 4.0, 0.5, 0.5),
        }
    )
    assert message == accounting_pb2.MachineEnergy(
        tier=inference_pb2.ENERGY_TIER_ESTIMATED,
        counter_joules=15.0,
        request_joules=10.0,
        idle_joules=3.5,
        unattributed_joules=1.5,
    )


def test_a_machine_without_counters_has_no_figures() -> None:
    message = accounting.machine_message({})
    assert message == accounting_pb2.MachineEnergy(tier=inference_pb2.ENERGY_TIER_UNAVAILABLE)
    assert not message.HasField("counter_joules")


def test_every_group_of_the_wire_is_a_dimension() -> None:
    groups = accounting_pb2.SpendGroup.values()[1:]
    assert accounting.dimensions(groups) == list(Dimension)


@pytest.mark.parametrize("group", [0, 7, -1])
def test_a_group_that_stands_for_nothing_is_refused(group: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        accounting.dimensions([1, group])
    assert refusal.value.field == "group_by[1]"
    assert "SPEND_GROUP_MODEL" in refusal.value.message


def test_a_filter_without_anything_lets_all_through() -> None:
    message = accounting_pb2.ChargeFilter()
    assert accounting.charge_filter(message, None) == ChargeFilter()
    assert accounting.spend_filter(message, None) == SpendFilter()


def test_a_filter_takes_the_key_that_may_be_seen_and_not_the_one_asked_for() -> None:
    message = accounting_pb2.ChargeFilter(
        since=1.0, until=2.0, key="bob", model="a", profile="pair", request_id="r"
    )
    assert accounting.charge_filter(message, "alice") == ChargeFilter(
        key="alice", profile="pair", model="a", request_id="r", since=1.0, until=2.0
    )
    message.ClearField("request_id")
    assert accounting.spend_filter(message, "") == SpendFilter(key="", profile="pair", model="a")


def test_the_beginning_of_time_is_a_time() -> None:
    message = accounting_pb2.ChargeFilter(since=0.0)
    assert accounting.times(message) == (0.0, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_that_is_no_number_is_refused(name: str, value: float) -> None:
    fields_of_filter: dict[str, Any] = {name: value}
    with pytest.raises(InvalidRequest) as refusal:
        accounting.times(accounting_pb2.ChargeFilter(**fields_of_filter))
    assert refusal.value.field == f"filter.{name}"


def test_sums_cannot_tell_single_requests_apart() -> None:
    with pytest.raises(InvalidRequest, match="ask ListCharges") as refusal:
        accounting.spend_filter(accounting_pb2.ChargeFilter(request_id="r"), None)
    assert refusal.value.field == "filter.request_id"
