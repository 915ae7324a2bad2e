"""How a plan that ran is told in words."""

from __future__ import annotations

from typing import Any

from quorate.v1 import plan_pb2


def unit(decision: plan_pb2.Decision) -> str:
    """What the answer of a plan is counted in."""
    return "word" if decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT else "token"


def answering(decision: plan_pb2.Decision, escalations: int) -> plan_pb2.Decision:
    """The vote that answers: the decision itself, or the stage that a cascade has come to.

    Args:
        decision: What runs.
        escalations: Stages that have given way.
    """
    if not decision.stages:
        return decision
    return decision.stages[min(escalations, len(decision.stages) - 1)].decision


def kind_name(kind: int) -> str:
    """Name of a kind of plan."""
    return _name(plan_pb2.PlanKind, "PLAN_KIND_", kind)


def members_words(decision: plan_pb2.Decision) -> str:
    """Who answers: one model, several with their weights, stages one after the other, a remote."""
    if decision.remote:
        return f"remote {decision.remote}"
    if decision.stages:
        return " \N{RIGHTWARDS ARROW} ".join(
            "+".join(member.model for member in stage.decision.members) for stage in decision.stages
        )
    if len(decision.members) == 1:
        return decision.members[0].model
    names = " + ".join(f"{member.model} {member.weight:.2g}" for member in decision.members)
    return f"{names}, {notable_manner(decision)}"


def manner(decision: plan_pb2.Decision) -> str:
    """Rule, alignment and weighting."""
    return ", ".join(_names(decision))


def notable_manner(decision: plan_pb2.Decision) -> str:
    """The rule, and what of alignment and weighting is not what everybody expects."""
    rule, alignment, weighting = _names(decision)
    names = [rule]
    if decision.alignment not in (
        plan_pb2.ALIGNMENT_UNSPECIFIED,
        plan_pb2.ALIGNMENT_SAME_VOCABULARY,
    ):
        names.append(alignment)
    if decision.weighting not in (plan_pb2.WEIGHTING_UNSPECIFIED, plan_pb2.WEIGHTING_STATIC):
        names.append(weighting)
    return ", ".join(names)


def _names(decision: plan_pb2.Decision) -> tuple[str, str, str]:
    return (
        _name(plan_pb2.CombinationRule, "COMBINATION_RULE_", decision.rule),
        _name(plan_pb2.Alignment, "ALIGNMENT_", decision.alignment),
        _name(plan_pb2.Weighting, "WEIGHTING_", decision.weighting),
    )


def _name(kind: Any, prefix: str, value: int) -> str:
    if value not in kind.values():
        return str(value)
    name: str = kind.Name(value)
    return name.removeprefix(prefix).lower().replace("_", "-")
