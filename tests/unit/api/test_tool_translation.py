from __future__ import annotations

from typing import Any

import pytest

from quorate.access import limits
from quorate.api.grpc.translation import responses
from quorate.api.grpc.translation.chats import TOOL_MODES
from quorate.api.grpc.translation.requests import generate_request, score_request
from quorate.api.grpc.translation.tokens import prompt_to_tokenize
from quorate.api.grpc.wire import check_fields
from quorate.engines.template_facts import TemplateFacts
from quorate.errors import InvalidRequest
from quorate.fleet.status import ModelState, ModelStatus
from quorate.request import (
    CallPart,
    ChatPrompt,
    ConstraintKind,
    Delta,
    Message,
    OutputConstraint,
    Token,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from quorate.request.tool_format import ToolFormat
from quorate.v1 import inference_pb2, models_pb2

SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'
WEATHER = {"name": "weather", "description": "Of today.", "parameters": SCHEMA, "strict": True}
TIME = {"name": "time"}
TOOLS = (Tool("weather", "Of today.", SCHEMA, True), Tool("time"))
ASKED = [{"role": "user", "content": "Rain?"}]
CALL = {"id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'}


def chat(messages: Any = ASKED, tools: Any = (WEATHER, TIME)) -> inference_pb2.Chat:
    return inference_pb2.Chat(messages=messages, tools=tools)


def asked(given: inference_pb2.Chat | None = None, **fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(chat=given or chat(), **fields)


def refused(message: inference_pb2.GenerateRequest) -> list[tuple[str, str]]:
    """Every field that is wrong, with what is wrong with it."""
    with pytest.raises(InvalidRequest) as caught:
        generate_request(message, "r")
    return [(one.field, one.problem) for one in (caught.value, *caught.value.also)]


def test_every_mode_has_a_meaning() -> None:
    assert set(TOOL_MODES) == set(inference_pb2.ToolMode.values())
    assert set(TOOL_MODES.values()) == set(ToolMode)
    assert TOOL_MODES[inference_pb2.TOOL_MODE_UNSPECIFIED] is ToolMode.AUTO


def test_tools_come_with_the_chat_and_may_be_called_where_nothing_is_said() -> None:
    request = generate_request(asked(), "r")
    assert request.prompt == ChatPrompt((Message("user", "Rain?"),), tools=TOOLS)
    assert request.tool_choice == ToolChoice(ToolMode.AUTO, "", parallel=True)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ({"mode": inference_pb2.TOOL_MODE_AUTO}, ToolChoice()),
        ({"mode": inference_pb2.TOOL_MODE_REQUIRED}, ToolChoice(ToolMode.REQUIRED)),
        (
            {"mode": inference_pb2.TOOL_MODE_REQUIRED, "name": "time"},
            ToolChoice(ToolMode.REQUIRED, "time"),
        ),
        ({"one_call": True}, ToolChoice(parallel=False)),
    ],
)
def test_which_tools_may_be_called_arrives(said: dict[str, Any], choice: ToolChoice) -> None:
    request = generate_request(asked(tool_choice=said), "r")
    assert request.tool_choice == choice
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.tools == TOOLS


def test_members_are_shown_no_tools_where_none_may_be_called() -> None:
    said = {"mode": inference_pb2.TOOL_MODE_NONE}
    request = generate_request(asked(tool_choice=said), "r")
    assert request.prompt == ChatPrompt((Message("user", "Rain?"),))
    assert request.tool_choice.mode is ToolMode.NONE


def test_calls_and_their_results_are_messages_and_a_result_has_its_tools_name() -> None:
    messages = [
        *ASKED,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, TIME]},
        {"role": "tool", "content": "No.", "tool_call_id": "c1"},
        {"role": "tool", "content": "Noon.", "name": "time"},
    ]
    prompt = generate_request(asked(chat(messages)), "r").prompt
    assert isinstance(prompt, ChatPrompt)
    calls = (ToolCall("c1", "weather", '{"city": "Oslo"}'), ToolCall("", "time", "{}"))
    assert prompt.messages == (
        Message("user", "Rain?"),
        Message("assistant", "Let me see.", calls),
        Message("tool", "No.", (), "c1", "weather"),
        Message("tool", "Noon.", (), "", "time"),
    )


def test_what_is_scored_and_what_becomes_tokens_may_show_tools_too() -> None:
    prompt = ChatPrompt((Message("user", "Rain?"),), tools=TOOLS)
    scored = inference_pb2.ScoreRequest(chat=chat(), continuation="No.")
    assert score_request(scored, "r").prompt == prompt
    assert prompt_to_tokenize(models_pb2.TokenizeRequest(chat=chat())) == prompt


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (chat(tools=[{"name": "no name"}]), "chat.tools[0].name"),
        (chat(tools=[TIME, {"name": "t", "parameters": "{"}]), "chat.tools[1].parameters"),
        (chat(tools=[TIME, TIME]), "chat.tools[1].name"),
        (
            chat([*ASKED, {"role": "assistant", "tool_calls": [{**CALL, "arguments": "7"}]}]),
            "chat.messages[1].tool_calls[0].arguments",
        ),
        (
            chat([*ASKED, {"role": "assistant", "tool_calls": [CALL, {"id": "c2"}]}]),
            "chat.messages[1].tool_calls[1].name",
        ),
        (chat([{"role": "user", "tool_calls": [CALL]}]), "chat.messages[0].tool_calls"),
        (chat([{"role": "user", "tool_call_id": "c1"}]), "chat.messages[0].tool_call_id"),
        (chat([{"role": "user", "name": "weather"}]), "chat.messages[0].name"),
        (chat([{"role": "tool", "name": "two words"}]), "chat.messages[0].name"),
    ],
)
def test_what_is_no_tool_and_no_call_is_refused_with_its_path(
    given: inference_pb2.Chat, field: str
) -> None:
    assert [path for path, _ in refused(asked(given))] == [field]


def test_what_is_wrong_with_messages_tools_and_the_choice_is_told_at_once() -> None:
    given = chat([{"role": ""}], [{"name": "two words"}])
    said = {"mode": inference_pb2.TOOL_MODE_REQUIRED, "name": "rain"}
    told = refused(asked(given, tool_choice=said))
    assert [field for field, _ in told] == [
        "chat.messages[0].role",
        "chat.tools[0].name",
        "tool_choice",
    ]
    assert told[2][1] == "names rain, which is no tool here"


def test_a_call_cannot_be_asked_for_where_there_are_no_tools() -> None:
    said = {"mode": inference_pb2.TOOL_MODE_REQUIRED}
    problem = "asks for a call, and there are no tools; give some"
    assert refused(asked(chat(tools=()), tool_choice=said)) == [("tool_choice", problem)]
    prompt = inference_pb2.GenerateRequest(prompt="x", tool_choice=said)
    assert refused(prompt) == [("tool_choice", problem)]


def test_a_mode_that_nobody_knows_is_refused() -> None:
    [(field, problem)] = refused(asked(tool_choice={"mode": 77}))
    assert field == "tool_choice.mode"
    assert problem.startswith("has the unknown value 77; known: TOOL_MODE_UNSPECIFIED, ")


@pytest.mark.parametrize("name", ["regex", "grammar"])
def test_a_form_that_is_not_json_excludes_tools_unless_none_may_be_called(name: str) -> None:
    problem = "and tools exclude each other; give a JSON schema, or a tool_choice of none"
    assert refused(asked(**{name: "x"})) == [(name, problem)]
    none = {"mode": inference_pb2.TOOL_MODE_NONE}
    request = generate_request(asked(tool_choice=none, **{name: "x"}), "r")
    assert request.constraint == OutputConstraint(ConstraintKind(name), "x")


def test_json_of_a_schema_may_be_the_answer_in_place_of_calls() -> None:
    request = generate_request(asked(json_schema="{}"), "r")
    assert request.constraint == OutputConstraint(ConstraintKind.JSON_SCHEMA, "{}")
    assert request.tools


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (chat(tools=[TIME] * (limits.MAX_TOOLS + 1)), "chat.tools"),
        (chat(tools=[{"parameters": "x" * 65_536}] * 4), "chat.tools"),
        (chat(tools=[{"name": "x" * 65}]), "chat.tools[0].name"),
        (chat(tools=[{"description": "x" * 16_385}]), "chat.tools[0].description"),
        (chat([{"tool_calls": [CALL] * 129}]), "chat.messages[0].tool_calls"),
        (chat([{"tool_call_id": "x" * 257}]), "chat.messages[0].tool_call_id"),
        (
            chat([{"tool_calls": [{"arguments": "x" * 65_537}]}]),
            "chat.messages[0].tool_calls[0].arguments",
        ),
    ],
)
def test_what_holds_too_much_is_refused_before_it_is_read(
    given: inference_pb2.Chat, field: str
) -> None:
    message = asked(given)
    with pytest.raises(InvalidRequest) as caught:
        check_fields(message.DESCRIPTOR, message.SerializeToString())
    assert caught.value.field == field


def test_a_delta_holds_the_pieces_of_calls_beside_its_tokens() -> None:
    parts = (CallPart(0, "c1", "weather", '{"ci'), CallPart(1, arguments='ty"'))
    delta = responses.generate_response(Delta("", (Token(5, b"x", -0.5),), calls=parts)).delta
    assert list(delta.tool_calls) == [
        inference_pb2.ToolCallPart(index=0, id="c1", name="weather", arguments='{"ci'),
        inference_pb2.ToolCallPart(index=1, arguments='ty"'),
    ]
    assert [token.piece for token in delta.tokens] == [b"x"]


@pytest.mark.parametrize(("following", "parallel_calls"), [("", False), ("</call><call>", True)])
def test_a_model_says_whether_its_template_knows_tools(
    following: str, parallel_calls: bool
) -> None:
    form = ToolFormat("<call>", ", ", following, "</call>")
    for facts, tools in ((TemplateFacts(), False), (TemplateFacts(tool_format=form), True)):
        status = ModelStatus("a", ModelState.READY, "scripted", chat=True, template=facts)
        told = responses.model_message(status).template
        assert (told.tools, told.parallel_calls) == (tools, facts.parallel_calls)
    assert told.parallel_calls is parallel_calls
