"""Calls of tools, behind the text of an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli.views.answer import TextAnswer
from quorate.cli.views.json_lines import response_line
from quorate.cli.views.writers import PlainWriter, TerminalWriter, Writer
from quorate.v1 import inference_pb2
from support.terminal import Capture, shown_by

ACCEPTED = inference_pb2.GenerateResponse(accepted={})
FINISHED = inference_pb2.GenerateResponse(
    finished={"reason": inference_pb2.FINISH_REASON_TOOL_CALLS}
)
ESCALATED = inference_pb2.GenerateResponse(notice={"kind": inference_pb2.NOTICE_KIND_ESCALATED})
TEXT = inference_pb2.GenerateResponse(
    delta={"text": "I look.", "tokens": [{"piece": b"I look.", "token_id": 1}]}
)


def called(*parts: dict[str, Any]) -> inference_pb2.GenerateResponse:
    """A delta of calls; the tokens that they are written in have no text."""
    return inference_pb2.GenerateResponse(
        delta={"tool_calls": parts, "tokens": [{"piece": b"<call>", "token_id": 2}]}
    )


WEATHER = (
    called({"index": 0, "id": "c1", "name": "weather"}),
    called({"index": 0, "arguments": '{"city": "Troms'}),
    called({"index": 0, "arguments": 'ø", "days": 2}'}),
)
TIME = called({"index": 1, "id": "c2", "name": "time", "arguments": "{}"})


def shown(writer: Writer, *responses: inference_pb2.GenerateResponse) -> None:
    view = TextAnswer(writer, votes=False, candidates=False)
    for response in responses:
        view.show(response)
    view.close()


def on_terminal(*responses: inference_pb2.GenerateResponse) -> str:
    return shown_by(lambda console: shown(TerminalWriter(console), *responses))


def in_pipe(capsys: Capture, *responses: inference_pb2.GenerateResponse) -> list[str]:
    shown(PlainWriter(), *responses)
    return capsys.readouterr().out.splitlines()


def test_a_terminal_shows_calls_behind_the_text_as_programs_write_them() -> None:
    assert on_terminal(ACCEPTED, TEXT, *WEATHER, TIME, FINISHED) == (
        'I look.\n→ weather(city="Tromsø", days=2)\n→ time()\n'
    )


def test_a_pipe_has_a_line_of_json_for_each_call(capsys: Capture) -> None:
    text, *calls = in_pipe(capsys, ACCEPTED, TEXT, *WEATHER, TIME, FINISHED)
    assert text == "I look."
    assert [json.loads(line) for line in calls] == [
        {"id": "c1", "name": "weather", "arguments": {"city": "Tromsø", "days": 2}},
        {"id": "c2", "name": "time", "arguments": {}},
    ]


def test_an_answer_of_calls_alone_begins_with_the_first(capsys: Capture) -> None:
    assert on_terminal(ACCEPTED, TIME, FINISHED) == "→ time()\n"
    [line] = in_pipe(capsys, ACCEPTED, TIME, FINISHED)
    assert json.loads(line)["name"] == "time"


def test_arguments_that_were_cut_off_are_shown_as_far_as_they_came(capsys: Capture) -> None:
    cut = (ACCEPTED, *WEATHER[:2], FINISHED)
    assert on_terminal(*cut) == '→ weather({"city": "Troms …)\n'
    [line] = in_pipe(capsys, *cut)
    assert json.loads(line) == {"id": "c1", "name": "weather", "arguments": None}


def test_calls_that_are_replaced_are_not_shown(capsys: Capture) -> None:
    replaced = (ACCEPTED, *WEATHER, ESCALATED, TEXT, FINISHED)
    assert in_pipe(capsys, *replaced) == ["I look."]
    assert on_terminal(*replaced) == "I look.\n"


def test_calls_of_an_answer_that_breaks_off_are_not_shown(capsys: Capture) -> None:
    assert in_pipe(capsys, ACCEPTED, TEXT, *WEATHER) == ["I look."]


@pytest.mark.parametrize("arguments", ['{"city": "\\u001b[2J"}', '{"\x1b[2J'])
def test_a_call_cannot_steer_the_terminal(arguments: str) -> None:
    evil = called({"index": 0, "name": "a\x1b[2Jb", "arguments": arguments})
    assert "\x1b" not in on_terminal(ACCEPTED, evil, FINISHED)


def test_json_lines_have_the_pieces_of_calls_as_they_come() -> None:
    assert json.loads(response_line(TIME)) == {
        "event": "delta",
        "text": "",
        "reasoning": None,
        "tool_calls": [{"index": 1, "id": "c2", "name": "time", "arguments": "{}"}],
        "tokens": [
            {
                "piece": "<call>",
                "token_id": 2,
                "logprob": 0.0,
                "top": [],
                "votes": [],
                "tied": False,
                "control": False,
            }
        ],
    }
    assert json.loads(response_line(FINISHED))["reason"] == "tool_calls"
