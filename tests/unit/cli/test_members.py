from __future__ import annotations

import pytest

from quorate.cli.members import name_stages, parse_member, parse_stage, parse_stages, stage_choices
from quorate.client import PlanOptions
from quorate.errors import SettingsError
from quorate.request import Plan, Stage, WeightedModel


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", WeightedModel("a")),
        ("a:0.3", WeightedModel("a", 0.3)),
        ("a:b", WeightedModel("a:b")),
        ("a:b:2", WeightedModel("a:b", 2.0)),
        ("./x.gguf:1e-1", WeightedModel("./x.gguf", 0.1)),
    ],
)
def test_a_member_may_carry_its_weight(text: str, expected: WeightedModel) -> None:
    assert parse_member(text) == expected


@pytest.mark.parametrize("text", ["", ":1", "a:inf", "a:-0.1"])
def test_a_member_without_a_name_or_with_an_unusable_weight_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--model"):
        parse_member(text)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("a", Stage(Plan((WeightedModel("a"),)))),
        ("a@0.7", Stage(Plan((WeightedModel("a"),)), 0.7)),
        ("a@0", Stage(Plan((WeightedModel("a"),)), 0.0)),
        ("a:2,b@1", Stage(Plan((WeightedModel("a", 2.0), WeightedModel("b"))), 1.0)),
        ("models/x@home", Stage(Plan((WeightedModel("models/x@home"),)))),
        ("x@home@0.5", Stage(Plan((WeightedModel("x@home"),)), 0.5)),
    ],
)
def test_a_stage_is_models_and_the_confidence_after_the_last_at(text: str, stage: Stage) -> None:
    assert parse_stage(text) == stage


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["a"], "--cascade a: one stage is no cascade"),
        (["a", "b@0.5"], "--cascade b@0.5: the last stage's answer is always kept"),
        (["a@1.5", "b"], "--cascade a@1.5: the confidence must be from 0 to 1"),
        (["a@-1", "b"], "the confidence must be from 0 to 1, not -1"),
        (["a,", "b"], "--cascade '': names no model"),
        (["a,a", "b"], "--cascade a: is named twice"),
        (["a:0,b:0", "c"], "--cascade: all weights are 0"),
    ],
)
def test_stages_that_cannot_be_meant_are_refused(texts: list[str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_stages(texts)
    assert told in str(caught.value)


def test_no_stages_are_no_cascade() -> None:
    assert parse_stages([]) == ()
    options: PlanOptions = {}
    name_stages(options, ())
    assert options == {}


def test_stages_are_named_by_the_ids_that_a_server_gives_files() -> None:
    stages = parse_stages(["/models/Small.gguf@0.7", "a:2,b"])
    assert stage_choices(stages) == [("small", 0.7), ({"a": 2.0, "b": None}, None)]
