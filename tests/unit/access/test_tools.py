"""Limits of tools, calls and results, whatever the API that brings them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.access import limits, tools
from quorate.errors import InvalidRequest
from quorate.request import Message, Tool, ToolCall, ToolChoice, ToolMode

CITY = '{"type": "object", "properties": {"city": {"type": "string"}}}'


def nested(depth: int) -> str:
    return '{"a":' * depth + "{}" + "}" * depth


def test_a_tool_is_taken_with_what_is_said_of_it() -> None:
    assert tools.tool("f", "look.up_2-x", "finds", CITY, True) == Tool(
        "look.up_2-x", "finds", CITY, True
    )


@pytest.mark.parametrize(
    ("given", "schema"),
    [
        ("", '{"type": "object", "properties": {}}'),
        ("{}", '{"type": "object"}'),
        ('{"properties":{"\\u00e9":{}}}', '{"type": "object", "properties": {"é": {}}}'),
    ],
)
def test_a_schema_is_one_of_an_object_if_it_says_nothing_else(given: str, schema: str) -> None:
    assert tools.tool_parameters("f", given) == schema


@pytest.mark.parametrize(
    ("given", "arguments"),
    [("", "{}"), (" \n", "{}"), ('{"a":1}', '{"a": 1}'), ('{"a":"\\u00e9"}', '{"a": "é"}')],
)
def test_arguments_are_an_object_and_none_are_an_empty_one(given: str, arguments: str) -> None:
    assert tools.tool_call("f", "c", "g", given) == ToolCall("c", "g", arguments)


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"name": ""}, "f.name", "is empty; use up to 64 letters, digits, _, - and ."),
        ({"name": "a b"}, "f.name", "is 'a b'; use up to 64 letters, digits, _, - and ."),
        ({"name": "é"}, "f.name", "is 'é'; use up to 64 letters, digits, _, - and ."),
        ({"name": "a\n"}, "f.name", "is 'a '; use up to 64 letters, digits, _, - and ."),
        ({"description": "é" * 8193}, "f.description", "has more than 16384 bytes; shorten it"),
        (
            {"parameters": '{"type": "string"}'},
            "f.parameters",
            "is no schema of an object; arguments have names",
        ),
        ({"parameters": "[]"}, "f.parameters", "is no JSON object; give one"),
        ({"parameters": nested(65)}, "f.parameters", "is nested too deep"),
        ({"parameters": "[" * 100_000}, "f.parameters", "has more than 65536 bytes"),
        ({"parameters": "[" * 60_000}, "f.parameters", "is nested too deep"),
        (
            {"parameters": '{"a": }'},
            "f.parameters",
            "is no JSON at character 6: Expecting value",
        ),
        ({"parameters": '{"a": "\\ud800"}'}, "f.parameters", "is not valid Unicode text"),
    ],
)
def test_what_is_no_tool_is_refused_by_its_path(
    change: dict[str, str], field: str, problem: str
) -> None:
    given: dict[str, Any] = {"name": "g", "description": "", "parameters": "", "strict": False}
    with pytest.raises(InvalidRequest) as caught:
        tools.tool("f", **{**given, **change})
    assert (caught.value.field, caught.value.problem) == (field, problem)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" * 5000])
def test_what_is_no_number_of_json_is_told_in_one_line(number: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tools.tool_call("f", "c", "g", f'{{"a": {number}}}')
    assert caught.value.field == "f.arguments"
    assert caught.value.problem == "has a number that is none of JSON, or that is too large"


@pytest.mark.parametrize(
    ("call_id", "arguments", "field"),
    [
        ("c" * 257, "{}", "f.id"),
        ("c", '"x"', "f.arguments"),
        ("c", '{"a":"' + "x" * 65_536 + '"}', "f.arguments"),
    ],
)
def test_what_is_no_call_is_refused_by_its_path(call_id: str, arguments: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tools.tool_call("f", call_id, "g", arguments)
    assert caught.value.field == field


def test_tools_are_as_many_as_are_allowed() -> None:
    given = [Tool(f"t{at}") for at in range(limits.MAX_TOOLS)]
    assert tools.tools("f", given) == tuple(given)


def test_of_too_many_tools_no_more_are_looked_at_than_are_allowed() -> None:
    read = []

    def endless() -> Iterator[Tool]:
        while True:
            read.append(len(read))
            yield Tool(f"t{len(read)}")

    with pytest.raises(InvalidRequest, match="has more than 128 tools"):
        tools.tools("f", endless())
    assert len(read) == limits.MAX_TOOLS + 1


def test_two_tools_of_one_name_are_refused_where_the_second_has_it() -> None:
    twice = [Tool("a"), Tool("b"), Tool("a")]
    with pytest.raises(InvalidRequest, match="is a, as another one's is") as caught:
        tools.tools("f", twice)
    assert caught.value.field == "f[2].name"
    with pytest.raises(InvalidRequest) as caught:
        tools.tools("f", twice, "function.name")
    assert caught.value.field == "f[2].function.name"


def test_schemas_and_descriptions_have_a_limit_together() -> None:
    schema = json.dumps({"type": "object", "description": "x" * 30_000})
    with pytest.raises(InvalidRequest, match="has schemas of more than 65536 bytes together"):
        tools.tools("f", [Tool(f"t{at}", parameters=schema) for at in range(3)])
    with pytest.raises(InvalidRequest, match="has more than 262144 bytes"):
        tools.tools("f", [Tool(f"t{at}", "x" * 16_384) for at in range(16)])


def test_a_message_has_no_more_calls_than_are_allowed() -> None:
    calls = [ToolCall(str(at), "g", "{}") for at in range(limits.MAX_CALLS)]
    assert tools.tool_calls("f", calls) == tuple(calls)
    with pytest.raises(InvalidRequest, match="has more than 128 calls; send fewer"):
        tools.tool_calls("f", [*calls, calls[0]])


def test_calls_are_the_assistant_s_and_results_those_of_tools() -> None:
    call = ToolCall("1", "f", "{}")
    right = [Message("assistant", "", (call,)), Message("tool", "", (), "1")]
    assert [*tools.checked_calls("m", right)] == right
    with pytest.raises(InvalidRequest) as caught:
        [*tools.checked_calls("m", [Message("user", "x"), Message("user", "", (call,))])]
    assert caught.value.field == "m[1].tool_calls"
    with pytest.raises(InvalidRequest) as caught:
        [*tools.checked_calls("m", [Message("user", "", (), "1")])]
    assert caught.value.field == "m[0].tool_call_id"


def test_a_choice_is_one_among_tools_that_there_are() -> None:
    given = [Tool("f")]
    named = ToolChoice(ToolMode.REQUIRED, "f")
    assert tools.tool_choice("c", named, given) == named
    assert tools.tool_choice("c", ToolChoice(), []) == ToolChoice()
    with pytest.raises(InvalidRequest, match="there are no tools; give some"):
        tools.tool_choice("c", ToolChoice(ToolMode.REQUIRED), [])
    with pytest.raises(InvalidRequest, match="names g, which is no tool here"):
        tools.tool_choice("c", ToolChoice(ToolMode.REQUIRED, "g"), given)
    with pytest.raises(InvalidRequest, match="is missing; give the name of a tool"):
        tools.known_tool("c", "", given)
