from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from quorate.client import Answer, AnswerReader, Client, ToolCall
from quorate.client.requests import generate_request, score_request, tokenize_request
from quorate.errors import InvalidRequest
from quorate.v1 import inference_pb2

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "Of töday.", "parameters": SCHEMA, "strict": True}
SENT = inference_pb2.Tool(
    name="weather",
    description="Of töday.",
    parameters='{"type": "object", "properties": {"city": {"type": "string"}}}',
    strict=True,
)
ASKED = [("user", "Rain?")]


def asked(**options: Any) -> inference_pb2.GenerateRequest:
    return generate_request(**{"messages": ASKED, **options})


def refused(**options: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        asked(**options)
    return caught.value.message


@pytest.mark.parametrize(
    "tool",
    [
        WEATHER,
        {**WEATHER, "parameters": SENT.parameters},
        {"type": "function", **WEATHER},
        {"type": "function", "function": WEATHER},
    ],
)
def test_a_tool_is_sent_whichever_form_it_has(tool: dict[str, Any]) -> None:
    assert list(asked(tools=[tool]).chat.tools) == [SENT]


def test_a_tool_may_have_a_name_alone() -> None:
    assert list(asked(tools=iter([{"name": "time"}])).chat.tools) == [
        inference_pb2.Tool(name="time")
    ]


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({"tool_choice": "auto"}, {"mode": inference_pb2.TOOL_MODE_AUTO}),
        ({"tool_choice": "none"}, {"mode": inference_pb2.TOOL_MODE_NONE}),
        ({"tool_choice": "required"}, {"mode": inference_pb2.TOOL_MODE_REQUIRED}),
        (
            {"tool_choice": "weather"},
            {"mode": inference_pb2.TOOL_MODE_REQUIRED, "name": "weather"},
        ),
        (
            {"parallel_calls": False},
            {"mode": inference_pb2.TOOL_MODE_AUTO, "one_call": True},
        ),
        ({"parallel_calls": True}, {"mode": inference_pb2.TOOL_MODE_AUTO}),
    ],
)
def test_which_tools_may_be_called_is_a_word_or_a_name(
    options: dict[str, Any], choice: dict[str, Any]
) -> None:
    request = asked(tools=[WEATHER], **options)
    assert request.tool_choice == inference_pb2.ToolChoice(**choice)


def test_nothing_is_said_of_tools_where_nothing_is_given() -> None:
    request = asked(tools=None, tool_choice=None, parallel_calls=None)
    assert request == asked()
    assert not request.HasField("tool_choice")


def test_messages_are_pairs_or_mappings() -> None:
    call = {"id": "c1", "name": "weather", "arguments": {"city": "Öslo"}}
    theirs = {"name": "time", "arguments": "{}"}
    request = asked(
        messages=[
            ("user", "Rain?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "assistant",
                "refusal": None,
                "tool_calls": [{"id": "c2", "type": "function", "function": theirs}],
            },
            {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "No."},
        ]
    )
    assert request.chat == inference_pb2.Chat(
        messages=[
            {"role": "user", "content": "Rain?"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "name": "weather", "arguments": '{"city": "Öslo"}'}],
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": "c2", "name": "time", "arguments": "{}"}],
            },
            {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "No."},
        ]
    )


def test_what_is_scored_and_what_becomes_tokens_may_show_tools_too() -> None:
    scored = score_request(None, "No.", messages=ASKED, tools=[WEATHER])
    cut = tokenize_request("a", None, ASKED, [WEATHER], False, False)
    assert scored.chat == cut.chat == asked(tools=[WEATHER]).chat


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tools": "weather"}, "tools: is the text 'weather'; give a list"),
        ({"tools": ["weather"]}, "tools[0]: is 'weather'; give a mapping"),
        (
            {"tools": [WEATHER, {"name": "x", "args": {}}]},
            "tools[1]: has 'args'; known: name, description, parameters, strict",
        ),
        (
            {"tools": [{"type": "web_search"}]},
            "tools[0]: is of the type 'web_search'; only functions are called",
        ),
        (
            {"messages": [{"role": "user", "contents": "x"}]},
            "messages[0]: has 'contents'; known: role, content, tool_calls, tool_call_id, name",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"name": "x", "args": "{}"}]}]},
            "messages[0].tool_calls[0]: has 'args'; known: id, name, arguments",
        ),
        (
            {"tool_choice": ""},
            "tool_choice: is ''; choose one of auto, none, required, or name a tool",
        ),
        (
            {"messages": None, "prompt": "x", "tools": [WEATHER]},
            "tools: belong to messages; a text shows none",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], told: str) -> None:
    assert refused(**options) == told


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tools": 7}, "tools"),
        ({"tools": [{"function": "weather"}]}, "tools"),
        ({"tools": [{"name": "\udcff"}]}, "tools[0]"),
        ({"tools": [{"name": "x", "parameters": {"\udcff": 1}}]}, "tools[0]"),
        ({"tools": [{"name": "x", "parameters": {"x": object()}}]}, "tools[0]"),
        ({"tools": [{"name": "x", "strict": "much"}]}, "tools[0]"),
        ({"tool_choice": {"name": "x"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0]"),
    ],
)
def test_what_no_message_can_hold_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    assert refused(**options).startswith(f"{field}: ")


def delta(text: str = "", *parts: dict[str, Any]) -> inference_pb2.GenerateResponse:
    return inference_pb2.GenerateResponse(delta={"text": text, "tool_calls": parts})


CALLED = (
    delta("Let me "),
    delta("see."),
    delta("", {"index": 0, "id": "c1", "name": "weather"}),
    delta("", {"index": 0, "arguments": '{"city": "Os'}),
    delta(
        "",
        {"index": 0, "arguments": 'lo"}'},
        {"index": 1, "id": "c2", "name": "time", "arguments": "{}"},
    ),
    inference_pb2.GenerateResponse(
        finished={"reason": inference_pb2.FINISH_REASON_TOOL_CALLS, "request_id": "r"}
    ),
)


def read(*events: inference_pb2.GenerateResponse) -> Answer:
    reader = AnswerReader()
    for event in events:
        reader.read(event)
    return reader.answer()


def test_an_answer_is_put_together_with_its_calls() -> None:
    answer = read(*CALLED)
    assert answer.text == "Let me see."
    assert answer.calls == (
        ToolCall("c1", "weather", '{"city": "Oslo"}'),
        ToolCall("c2", "time", "{}"),
    )
    assert answer.calls[0].parsed() == {"city": "Oslo"}
    assert (answer.finish_reason, answer.finished.request_id) == ("tool_calls", "r")


def test_a_chat_goes_on_with_an_answer_and_with_what_its_calls_gave() -> None:
    answer = read(*CALLED)
    results = [call.result("No.") for call in answer.calls]
    request = asked(messages=[*ASKED, answer.message, *results])
    assert [turn.role for turn in request.chat.messages] == ["user", "assistant", "tool", "tool"]
    assert list(request.chat.messages[1].tool_calls) == [
        inference_pb2.ToolCall(id="c1", name="weather", arguments='{"city": "Oslo"}'),
        inference_pb2.ToolCall(id="c2", name="time", arguments="{}"),
    ]
    assert request.chat.messages[3] == inference_pb2.ChatMessage(
        role="tool", content="No.", tool_call_id="c2", name="time"
    )


def test_what_a_cascade_replaces_is_left_out() -> None:
    notice = inference_pb2.GenerateResponse(notice={"kind": inference_pb2.NOTICE_KIND_ESCALATED})
    assert read(*CALLED[:-1], notice, delta("No."), CALLED[-1]) == Answer(
        "No.", (), CALLED[-1].finished
    )


@pytest.mark.parametrize("arguments", ["", '{"city": "Os', "7"])
def test_arguments_that_were_cut_off_have_no_values(arguments: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ToolCall("c1", "weather", arguments).parsed()


@pytest.mark.parametrize(("number", "name"), [(1, "end_of_generation"), (99, "99")])
def test_why_an_answer_ended_has_a_name_and_one_that_is_not_known_its_number(
    number: int, name: str
) -> None:
    finished = inference_pb2.Finished()
    finished.MergeFromString(bytes([0x08, number]))
    assert Answer("", (), finished).finish_reason == name


async def test_the_client_gives_whole_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    async def generate(
        self: Client, prompt: str | None = None, **options: Any
    ) -> AsyncIterator[inference_pb2.GenerateResponse]:
        given.append(options)
        for event in CALLED:
            yield event

    monkeypatch.setattr(Client, "generate", generate)
    client = Client()
    assert await client.answer(messages=ASKED, tools=[WEATHER]) == read(*CALLED)
    assert await client.complete(messages=ASKED, tools=[WEATHER]) == "Let me see."
    assert given == [{"messages": ASKED, "tools": [WEATHER]}] * 2
