from __future__ import annotations

import pytest

from quorate.cli.members import Member
from quorate.cli.plan_options import name_stages, plan_options
from quorate.cli.stages import Stage, parse_stage, parse_stages, stage_choices
from quorate.client import PlanOptions
from quorate.errors import SettingsError
from quorate.request import CombinationRule, FailurePolicy

NOTHING = dict.fromkeys(
    ("rule", "alignment", "weighting", "forgetting", "beam_epsilon", "beam_width")
)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("a", Stage((Member("a"),))),
        ("a@0.7", Stage((Member("a"),), 0.7)),
        ("a@0", Stage((Member("a"),), 0.0)),
        ("a:2,b@1", Stage((Member("a", 2.0), Member("b")), 1.0)),
        ("models/x@home", Stage((Member("models/x@home"),))),
        ("x@home@0.5", Stage((Member("x@home"),), 0.5)),
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


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"profile": "p", "model": ["a"]}, "--profile and --model exclude each other"),
        ({"model": ["a"], "cascade": ["a", "b"]}, "--model and --cascade exclude each other"),
        ({"cascade": ["a", "b"], "auto": True}, "--cascade and --auto exclude each other"),
        ({"profile": "p", "auto": True}, "--profile and --auto exclude each other"),
        ({"stream_early": True}, "--stream-early belongs to a cascade"),
        ({"auto": True, "rule": CombinationRule.LINEAR}, "--rule belongs to members"),
        ({"cascade": ["a", "b"], "beam_width": 2}, "--beam-width belongs to members"),
    ],
)
def test_choices_of_a_plan_exclude_each_other(choices: dict[str, object], told: str) -> None:
    given = {"model": None, "profile": None, **NOTHING, **choices}
    with pytest.raises(SettingsError) as caught:
        plan_options(**given)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_what_happens_when_a_member_dies_may_be_said_of_a_cascade() -> None:
    options = plan_options(
        None, None, **NOTHING, on_failure=FailurePolicy.FAIL, cascade=["a", "b"], stream_early=True
    )  # fmt: skip
    assert options["failure_policy"] == "fail"
    assert options["stream_early"] is True
