from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.cli.parameters import AnswerParameters, RequestParameters
from quorate.cli.plan_parameters import PlanParameters, VoteParameters
from quorate.cli.question import question_of, request_options
from quorate.errors import SettingsError

PLAIN = RequestParameters(
    prompt="Rain?", plan=PlanParameters(vote=VoteParameters()), answer=AnswerParameters()
)


@pytest.fixture
def with_tools(tmp_path: Path) -> RequestParameters:
    path = tmp_path / "tools.json"
    path.write_text('[{"name": "weather"}]')
    return replace(PLAIN, answer=AnswerParameters(tools=str(path), tool_choice="required"))


def test_tools_of_a_file_are_the_clients_and_only_a_template_can_show_them(
    with_tools: RequestParameters,
) -> None:
    prompt, options = request_options(question_of(with_tools, None))
    assert prompt is None
    assert options["messages"] == [("user", "Rain?")]
    assert options["tools"] == [{"name": "weather"}]
    assert options["tool_choice"] == "required"
    assert options["allow_text"] is False


def test_a_question_without_tools_may_be_read_as_a_text() -> None:
    _, options = request_options(question_of(PLAIN, None))
    assert (options["tools"], options["tool_choice"]) == (None, None)
    assert options["allow_text"] is True


def test_a_raw_prompt_shows_no_tools(with_tools: RequestParameters) -> None:
    with pytest.raises(SettingsError, match="--tools have no place in a --raw prompt"):
        question_of(replace(with_tools, raw=True), None)
