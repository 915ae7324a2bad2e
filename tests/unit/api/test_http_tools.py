"""What bodies of the HTTP API say of tools, calls and results, in the words of each protocol."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.api.http.anthropic.messages import message_asked, messages_prompt
from quorate.api.http.anthropic.tools import read_tools
from quorate.api.http.asking import Asked, Context
from quorate.api.http.fields import Fields
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.responses import response_asked
from quorate.api.http.openai.texts import text_asked
from quorate.errors import InvalidRequest, NotFound
from quorate.request import ChatPrompt, Message, Tool, ToolChoice, ToolMode

CONTEXT = Context(models=("a",), profiles=(), request_id="r")
HI = [{"role": "user", "content": "Rain?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WRITTEN = '{"type": "object", "properties": {"city": {"type": "string"}}}'
NO_SCHEMA = '{"type": "object", "properties": {}}'
WEATHER, TIME = Tool("weather", "Of today.", WRITTEN, True), Tool("time")

OF_CHATS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Of today.",
            "parameters": SCHEMA,
            "strict": True,
        },
    },
    {"type": "function", "function": {"name": "time", "description": None, "parameters": None}},
]
OF_RESPONSES = [{"type": "function", **one["function"]} for one in OF_CHATS]  # type: ignore[dict-item]
OF_MESSAGES = [
    {
        "name": "weather",
        "description": "Of today.",
        "input_schema": SCHEMA,
        "strict": True,
        "cache_control": {"type": "ephemeral"},
    },
    {"type": "custom", "name": "time"},
]


def chat(**body: Any) -> Asked:
    return chat_asked({"messages": HI, "tools": OF_CHATS, **body}, CONTEXT)


def response(**body: Any) -> Asked:
    return response_asked({"input": "Rain?", "tools": OF_RESPONSES, **body}, CONTEXT)


def message(**body: Any) -> Asked:
    return message_asked({"messages": HI, "max_tokens": 5, "tools": OF_MESSAGES, **body}, CONTEXT)


ASKS = {"chat": chat, "response": response, "message": message}


def prompt(asked: Asked) -> ChatPrompt:
    found = asked.requests[0].prompt
    assert isinstance(found, ChatPrompt)
    return found


def refused(ask: str, **body: Any) -> tuple[str, str]:
    """Path and problem of a body that is refused."""
    with pytest.raises(InvalidRequest) as caught:
        ASKS[ask](**body)
    return caught.value.field, caught.value.problem


@pytest.mark.parametrize("ask", ASKS)
def test_tools_are_shown_and_may_be_called_where_nothing_else_is_said(ask: str) -> None:
    asked = ASKS[ask]()
    assert prompt(asked) == ChatPrompt((Message("user", "Rain?"),), tools=(WEATHER, TIME))
    assert asked.requests[0].tool_choice == ToolChoice(ToolMode.AUTO, "", parallel=True)


@pytest.mark.parametrize("ask", ASKS)
def test_what_is_not_known_of_a_tool_is_passed_over(ask: str) -> None:
    name = {"name": "f", "defer_loading": False, "x": [1]}
    tool = {"function": name, "y": 1} if ask == "chat" else name
    assert prompt(ASKS[ask](tools=[tool])).tools == (Tool("f", "", NO_SCHEMA),)


NAMED = ToolChoice(ToolMode.REQUIRED, "time")


@pytest.mark.parametrize(
    ("ask", "said", "choice"),
    [
        ("chat", {"tool_choice": "auto"}, ToolChoice()),
        ("chat", {"tool_choice": None, "parallel_tool_calls": None}, ToolChoice()),
        ("chat", {"tool_choice": "required"}, ToolChoice(ToolMode.REQUIRED)),
        ("chat", {"tool_choice": {"type": "required"}}, ToolChoice(ToolMode.REQUIRED)),
        ("chat", {"tool_choice": {"type": "function", "function": {"name": "time"}}}, NAMED),
        ("chat", {"parallel_tool_calls": False}, ToolChoice(parallel=False)),
        ("response", {"tool_choice": "required"}, ToolChoice(ToolMode.REQUIRED)),
        ("response", {"tool_choice": {"type": "function", "name": "time"}}, NAMED),
        ("response", {"parallel_tool_calls": False}, ToolChoice(parallel=False)),
        ("message", {"tool_choice": {"type": "auto"}}, ToolChoice()),
        ("message", {"tool_choice": {"type": "any"}}, ToolChoice(ToolMode.REQUIRED)),
        ("message", {"tool_choice": {"type": "tool", "name": "time"}}, NAMED),
        (
            "message",
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            ToolChoice(parallel=False),
        ),
        (
            "message",
            {"tool_choice": {"type": "tool", "name": "time", "disable_parallel_tool_use": True}},
            ToolChoice(ToolMode.REQUIRED, "time", parallel=False),
        ),
    ],
)
def test_a_choice_among_tools_is_read(ask: str, said: dict[str, Any], choice: ToolChoice) -> None:
    asked = ASKS[ask](**said)
    assert asked.requests[0].tool_choice == choice
    assert prompt(asked).tools == (WEATHER, TIME)


@pytest.mark.parametrize(
    ("ask", "none"), [("chat", "none"), ("response", "none"), ("message", {"type": "none"})]
)
def test_tools_that_may_not_be_called_are_not_shown(ask: str, none: Any) -> None:
    asked = ASKS[ask](tool_choice=none)
    assert prompt(asked).tools == ()
    assert asked.requests[0].tool_choice.mode is ToolMode.NONE


def test_of_tools_of_which_some_are_allowed_these_are_shown() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}
    of_chat = chat(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    flat = {"mode": "required", "tools": [{"type": "function", "name": "time"}] * 2}
    of_response = response(tool_choice={"type": "allowed_tools", **flat})
    for asked in (of_chat, of_response):
        assert prompt(asked).tools == (TIME,)
        assert asked.requests[0].tool_choice == ToolChoice(ToolMode.REQUIRED)


@pytest.mark.parametrize(
    ("ask", "body", "field"),
    [
        ("chat", {"tools": {}}, "tools"),
        ("chat", {"tools": ["f"]}, "tools[0]"),
        ("chat", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ("chat", {"tools": [{"type": "function", "function": "f"}]}, "tools[0].function"),
        ("chat", {"tools": [{"function": {"name": "f g"}}]}, "tools[0].function.name"),
        ("chat", {"tools": [{"function": {"name": 3}}]}, "tools[0].function.name"),
        ("chat", {"tools": [OF_CHATS[1], OF_CHATS[1]]}, "tools[1].function.name"),
        (
            "chat",
            {"tools": [{"function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
        ),
        (
            "chat",
            {"tools": [{"function": {"name": "f", "parameters": {"a": "x" * 70_000}}}]},
            "tools[0].function.parameters",
        ),
        (
            "chat",
            {"tools": [{"function": {"name": "f", "parameters": {"maximum": float("inf")}}}]},
            "tools[0].function.parameters",
        ),
        (
            "chat",
            {"tools": [{"function": {"name": "f", "description": "x" * 17_000}}]},
            "tools[0].function.description",
        ),
        ("chat", {"tools": [{"function": {"name": f"f{n}"}} for n in range(129)]}, "tools"),
        # The model would be shown a tool that takes nothing.
        ("chat", {"tools": [{"name": "f", "input_schema": SCHEMA}]}, "tools[0].input_schema"),
        (
            "chat",
            {"tools": [{"function": {"name": "f", "inputSchema": SCHEMA}}]},
            "tools[0].function.inputSchema",
        ),
        ("response", {"tools": [{"name": "f", "input_schema": {}}]}, "tools[0].input_schema"),
        ("message", {"tools": [{"name": "f", "parameters": SCHEMA}]}, "tools[0].parameters"),
        ("chat", {"tool_choice": "any"}, "tool_choice"),
        ("chat", {"tool_choice": 3}, "tool_choice"),
        # What an error says is no mode.
        (
            "chat",
            {"tool_choice": "an object of the type function or allowed_tools"},
            "tool_choice",
        ),
        ("chat", {"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ("chat", {"tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ("chat", {"tool_choice": "required", "tools": []}, "tool_choice"),
        (
            "chat",
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice.function.name",
        ),
        ("chat", {"tool_choice": {"type": "allowed_tools", "mode": "none"}}, "tool_choice.mode"),
        (
            "chat",
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "tool_choice.tools",
        ),
        ("chat", {"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ("chat", {"functions": [{"name": "f"}]}, "functions"),
        ("chat", {"function_call": {"name": "f"}}, "function_call"),
        ("response", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ("response", {"tools": [{"type": "function", "name": ""}]}, "tools[0].name"),
        ("response", {"tools": [OF_RESPONSES[1]] * 2}, "tools[1].name"),
        ("response", {"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ("response", {"tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        (
            "response",
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "time"}] * 129,
                }
            },
            "tool_choice.tools",
        ),
        ("response", {"max_tool_calls": 3}, "max_tool_calls"),
        ("message", {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0].type"),
        ("message", {"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ("message", {"tools": [OF_MESSAGES[1]] * 2}, "tools[1].name"),
        ("message", {"tool_choice": {"type": "required"}}, "tool_choice.type"),
        ("message", {"tool_choice": {"type": "any"}, "tools": []}, "tool_choice.type"),
        ("message", {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ],
)
def test_what_is_no_tool_or_no_choice_is_refused_by_its_path(
    ask: str, body: dict[str, Any], field: str
) -> None:
    assert refused(ask, **body)[0] == field


def test_what_tools_were_called_before_is_refused_with_what_to_give_instead() -> None:
    assert refused("chat", functions=[{"name": "f"}]) == (
        "functions",
        "is not served here; give tools",
    )
    assert refused("chat", function_call={"name": "f"}) == (
        "function_call",
        "is not served here; give tool_choice",
    )


def test_texts_have_no_tools() -> None:
    for field, said in (("tools", OF_CHATS), ("tool_choice", "required")):
        with pytest.raises(InvalidRequest, match="is for chats; ask /v1/chat/comp") as caught:
            text_asked({"prompt": "x", field: said}, CONTEXT)
        assert caught.value.field == field
    assert text_asked({"prompt": "x", "tools": [], "tool_choice": "none"}, CONTEXT).requests


@pytest.mark.parametrize(
    ("ask", "path", "form", "none"),
    [
        ("chat", "guided_regex", {"guided_regex": "a+"}, "none"),
        ("response", "quorate.grammar", {"quorate": {"grammar": 'start: "a"'}}, "none"),
        ("message", "quorate.regex", {"quorate": {"regex": "a+"}}, {"type": "none"}),
    ],
)
def test_a_form_that_is_not_json_and_tools_exclude_each_other(
    ask: str, path: str, form: dict[str, Any], none: Any
) -> None:
    assert refused(ask, **form) == (
        path,
        "and tools exclude each other; give a JSON schema, or a tool_choice of none",
    )
    assert ASKS[ask](**form, tool_choice=none).requests[0].constraint is not None
    assert ASKS[ask](**form, tools=[]).requests[0].constraint is not None


def test_json_may_be_the_answer_in_place_of_calls() -> None:
    (request,) = chat(response_format={"type": "json_object"}).requests
    assert request.constraint is not None and request.tools


def test_each_choice_of_a_chat_may_call_tools() -> None:
    asked = chat(n=2, tool_choice="required")
    modes = [one.tool_choice.mode for one in asked.requests]
    assert modes == [ToolMode.REQUIRED, ToolMode.REQUIRED]


def test_tokens_are_counted_with_tools_that_are_shown() -> None:
    body = {"messages": HI, "tools": OF_MESSAGES}
    counted = messages_prompt(Fields(body), read_tools(Fields(body)))
    assert counted == prompt(message())
    assert counted.size_bytes > len("Rain?") + len(WRITTEN)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["function", "name", "f", "auto", "tool", "allowed_tools"])
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "function", "name", "parameters", "input_schema", "mode", "tools", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"tools": st.lists(json_values, max_size=3) | json_values, "tool_choice": json_values}
    )
)
def test_whatever_is_said_of_tools_is_read_or_refused(body: dict[str, Any]) -> None:
    for ask in ASKS.values():
        try:
            ask(**body)
        except (InvalidRequest, NotFound):
            continue
