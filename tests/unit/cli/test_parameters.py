from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from quorate.cli.parameter_groups import grouped
from quorate.cli.parameters import AnswerParameters, RequestParameters
from quorate.cli.plan_parameters import PlanParameters, VoteParameters
from quorate.client import GenerateOptions
from quorate.errors import SettingsError
from quorate.request import Alignment, CombinationRule, FailurePolicy, Weighting


@dataclass(frozen=True, kw_only=True)
class Colour:
    hue: Annotated[int, typer.Option(min=0, help="In degrees.")] = 7
    deep: Annotated[bool, typer.Option("--deep")] = False


@dataclass(frozen=True, kw_only=True)
class Brush:
    name: Annotated[str, typer.Argument(metavar="NAME")]
    colour: Colour
    width: Annotated[float | None, typer.Option("--wide", envvar="BRUSH_WIDTH")] = None


def painted(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and the output of a command that prints what it got."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command()
    @grouped
    def paint(*, brush: Brush, times: Annotated[int, typer.Option()] = 1) -> None:
        """Paint it."""
        print(brush, times)

    done = CliRunner().invoke(app, arguments, env=environment)
    return done.exit_code, done.output


def test_the_fields_of_a_group_are_parameters_and_come_as_one_value() -> None:
    given = Brush(name="round", colour=Colour(hue=3, deep=True), width=2.5)
    assert painted("round", "--hue", "3", "--deep", "--wide", "2.5", "--times", "4") == (
        0,
        f"{given} 4\n",
    )


def test_what_is_not_given_has_the_default_of_its_field() -> None:
    assert painted("flat") == (0, f"{Brush(name='flat', colour=Colour())} 1\n")
    told = Brush(name="flat", colour=Colour(), width=9.0)
    assert painted("flat", BRUSH_WIDTH="9") == (0, f"{told} 1\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "NAME"), (("flat", "--hue", "-1"), "--hue"), (("flat", "--width", "1"), "--width")],
)
def test_wrong_values_of_a_field_are_wrong_usage(arguments: tuple[str, ...], told: str) -> None:
    code, output = painted(*arguments)
    assert code == 2
    assert told in output


def test_the_help_has_the_fields_in_the_place_of_their_group() -> None:
    _, output = painted("--help")
    options = [line.split()[0] for line in output.splitlines() if line.startswith("  --")]
    assert options == ["--hue", "--deep", "--wide", "--times", "--help"]
    assert "Paint it." in output


def test_the_parameters_of_an_answer_are_arguments_of_the_client() -> None:
    assert {one.name for one in fields(AnswerParameters)} <= set(GenerateOptions.__annotations__)


def test_a_request_with_nothing_said_leaves_everything_to_the_server() -> None:
    plan = PlanParameters(vote=VoteParameters())
    request = RequestParameters(prompt="x", plan=plan, answer=AnswerParameters())
    assert not any(request.options().values())


def test_what_is_said_of_a_request_comes_under_the_names_of_the_client() -> None:
    vote = VoteParameters(
        rule=CombinationRule.MAJORITY, alignment=Alignment.AUTO, weighting=Weighting.AUTO
    )
    request = RequestParameters(
        prompt="x",
        plan=PlanParameters(model=["a"], vote=vote, on_failure=FailurePolicy.AUTO),
        answer=AnswerParameters(energy_joules=2.0, stop=["\n"], allow_substitution=True),
        votes=True,
        top_logprobs=3,
    )
    assert {name: value for name, value in request.options().items() if value} == {
        "rule": "majority",
        "alignment": "auto",
        "energy_joules": 2.0,
        "allow_substitution": True,
        "stop": ["\n"],
        "votes": True,
        "top_logprobs": 3,
    }


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
        ({"auto": True, "drafts": "off"}, "--drafts belongs to members"),
    ],
)
def test_choices_of_a_plan_exclude_each_other(choices: dict[str, object], told: str) -> None:
    details = {
        name: choices.pop(name) for name in ("rule", "beam_width", "drafts") if name in choices
    }
    vote = VoteParameters(**details)  # type: ignore[arg-type]
    with pytest.raises(SettingsError) as caught:
        PlanParameters(**choices, vote=vote).options()  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_what_happens_when_a_member_dies_may_be_said_of_a_cascade() -> None:
    options = PlanParameters(
        cascade=["a", "b"], stream_early=True, vote=VoteParameters(), on_failure=FailurePolicy.FAIL
    ).options()
    assert options["failure_policy"] == "fail"
    assert options["stream_early"] is True
