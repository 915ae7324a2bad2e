"""How a plan that ran is told in words."""

from __future__ import annotations

from typing import Any

from quorate.v1 import plan_pb2


def unit(decision: plan_pb2.Decision) -> str:
    """What the answer of a plan is counted in."""
    return "word" if decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT else "token"


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
