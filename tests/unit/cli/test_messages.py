from __future__ import annotations

import pytest

from quorate.cli.messages import enum_name, plan_of
from quorate.request import Alignment, BeamOptions, CombinationRule, Plan, WeightedModel, Weighting
from quorate.v1 import plan_pb2

STATIC = plan_pb2.Decision(
    members=[{"model": "a", "weight": 0.25}, {"model": "b", "weight": 0.75}],
    rule=plan_pb2.COMBINATION_RULE_GEOMETRIC,
    alignment=plan_pb2.ALIGNMENT_SAME_VOCABULARY,
    weighting=plan_pb2.WEIGHTING_STATIC,
)


def test_the_plan_of_a_decision_has_its_members_and_its_manner() -> None:
    members = (WeightedModel("a", 0.25), WeightedModel("b", 0.75))
    rule = CombinationRule.GEOMETRIC
    assert plan_of(STATIC) == Plan(members, rule, Alignment.SAME_VOCABULARY, Weighting.STATIC)
    bytewise = plan_pb2.Decision()
    bytewise.CopyFrom(STATIC)
    bytewise.alignment = plan_pb2.ALIGNMENT_BYTE_EXACT
    bytewise.weighting = plan_pb2.WEIGHTING_BAYESIAN
    bytewise.forgetting = 0.9
    bytewise.beam.width = 8
    assert plan_of(bytewise) == Plan(
        members,
        rule,
        Alignment.BYTE_EXACT,
        Weighting.BAYESIAN,
        forgetting=0.9,
        beam=BeamOptions(None, 8),
    )


@pytest.mark.parametrize(
    ("number", "name"), [(0, "unspecified"), (plan_pb2.ALIGNMENT_UNION_TOP_K, "union_top_k")]
)
def test_an_enum_loses_its_prefix(number: int, name: str) -> None:
    assert enum_name(plan_pb2.Alignment.DESCRIPTOR, number) == name


def test_a_number_that_only_a_newer_server_knows_is_its_own_name() -> None:
    assert enum_name(plan_pb2.Alignment.DESCRIPTOR, 99) == "99"
