"""From messages of the service to the values that the rest of the program works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from quorate.ledger.charges import Charge, ModelCharge
from quorate.ledger.spending import Dimension, SpendRow
from quorate.request import (
    Alignment,
    BeamOptions,
    CombinationRule,
    Comparison,
    DecidedAnswers,
    EnergyTier,
    GateOptions,
    Plan,
    Selection,
    Token,
    TopCandidate,
    Vote,
    WeightedModel,
    Weighting,
)
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2

_TIERS = {
    inference_pb2.ENERGY_TIER_MEASURED: EnergyTier.MEASURED,
    inference_pb2.ENERGY_TIER_ESTIMATED: EnergyTier.ESTIMATED,
}


def enum_name(kind: EnumDescriptor, number: int) -> str:
    """The name of an enum's value in lower case, without the prefix of protobuf's style.

    A number that this version does not know is its own name.
    """
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    if number not in kind.values_by_number:
        return str(number)
    name: str = kind.values_by_number[number].name
    return name.removeprefix(prefix).lower()


def total_energy(parts: Sequence[inference_pb2.Energy]) -> inference_pb2.Energy | None:
    """The sum of energies, of the less certain tier; None unless each of them is known."""
    if not parts or not all(part.HasField("joules") for part in parts):
        return None
    # The higher the number of a tier, the less is known.
    return inference_pb2.Energy(
        joules=sum(part.joules for part in parts), tier=max(part.tier for part in parts)
    )


def energy_tier(tier: inference_pb2.EnergyTier) -> EnergyTier:
    """How an energy is known."""
    return _TIERS.get(tier, EnergyTier.UNAVAILABLE)


def plan_of(decision: plan_pb2.Decision) -> Plan:
    """Members and manner of a vote that was decided; of a cascade those of its first stage."""
    beam = decision.beam
    return Plan(
        members=tuple(WeightedModel(one.model, one.weight) for one in decision.members),
        rule=CombinationRule(enum_name(plan_pb2.CombinationRule.DESCRIPTOR, decision.rule)),
        alignment=Alignment(enum_name(plan_pb2.Alignment.DESCRIPTOR, decision.alignment)),
        weighting=Weighting(enum_name(plan_pb2.Weighting.DESCRIPTOR, decision.weighting)),
        forgetting=_optional(decision, "forgetting"),
        beam=BeamOptions(_optional(beam, "epsilon"), _optional(beam, "width")),
        gate=GateOptions(*(_optional(decision.gate, one.name) for one in fields(GateOptions))),
    )


def answers_of(message: plan_pb2.DecidedAnswers) -> DecidedAnswers:
    """How whole answers vote; what each member runs is left out."""
    return DecidedAnswers(
        votes=(),
        samples=message.samples,
        select=Selection(enum_name(plan_pb2.Selection.DESCRIPTOR, message.select)),
        compare=Comparison(enum_name(plan_pb2.Comparison.DESCRIPTOR, message.compare)),
        weighting=Weighting(enum_name(plan_pb2.Weighting.DESCRIPTOR, message.weighting)),
    )


def token_of(message: inference_pb2.Token) -> Token:
    """A token as the server's own reader of signals knows it; ids of candidates are left out."""
    return Token(
        token_id=_optional(message, "token_id"),
        piece=message.piece,
        logprob=message.logprob,
        top=tuple(TopCandidate(None, one.piece, one.logprob) for one in message.top),
        votes=tuple(
            Vote(one.model, one.piece, one.logprob, one.weight, one.chosen_logprob)
            for one in message.votes
        ),
        control=message.control,
    )


def charge_of(message: accounting_pb2.Charge) -> Charge:
    """A charge as the ledger keeps it; dollars have come as floats."""
    joules, tier = _energy(message.energy)
    return replace(
        Charge(**_same_fields(message, Charge)),
        plan_kind=enum_name(plan_pb2.PlanKind.DESCRIPTOR, message.plan_kind),
        joules=joules,
        tier=tier,
        reserved_usd=_usd(_optional(message, "reserved_usd")),
        usd=_usd(_optional(message, "usd")),
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
    part = ModelCharge(**_same_fields(message, ModelCharge))
    return replace(part, joules=joules, tier=tier, usd=_usd(_optional(message, "usd")))


def _energy(message: inference_pb2.Energy) -> tuple[float | None, EnergyTier]:
    return _optional(message, "joules"), energy_tier(message.tier)


def _same_fields(message: Any, kind: type[Charge | ModelCharge]) -> dict[str, Any]:
    """The fields of a value that a message has under the same name; None where one is absent."""
    known = message.DESCRIPTOR.fields_by_name
    return {one.name: _optional(message, one.name) for one in fields(kind) if one.name in known}


def _optional(message: Any, name: str) -> Any:
    has_presence = message.DESCRIPTOR.fields_by_name[name].has_presence
    return None if has_presence and not message.HasField(name) else getattr(message, name)


def _usd(usd: float | None) -> Decimal | None:
    return None if usd is None else Decimal(str(usd))
