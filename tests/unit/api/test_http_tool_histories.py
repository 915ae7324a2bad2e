"""How calls and results of earlier answers are read, in the words of each protocol."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.api.http.anthropic.messages import message_asked
from quorate.api.http.asking import Context
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.responses import response_asked
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, Message, ToolCall

CONTEXT = Context(models=("a",), profiles=(), request_id="r")
OSLO, ROME = (
    ToolCall(f"c{n}", "rain", f'{{"city": "{c}"}}') for n, c in ((1, "Oslo"), (2, "Rome"))
)
ASKED = Message("user", "Rain?")
# All of it as each protocol has it: a text with two calls, their results, and what the user adds.
HISTORY = (
    ASKED,
    Message("assistant", "Let me see.", (OSLO, ROME)),
    Message("tool", "yes", (), "c1", "rain"),
    Message("tool", "no\nat all", (), "c2", "rain"),
    Message("user", "And?"),
)


def chat(*turns: dict[str, Any]) -> tuple[Message, ...]:
    return read(chat_asked({"messages": list(turns)}, CONTEXT).requests[0].prompt)


def response(*items: dict[str, Any]) -> tuple[Message, ...]:
    return read(response_asked({"input": list(items)}, CONTEXT).requests[0].prompt)


def message(*turns: dict[str, Any]) -> tuple[Message, ...]:
    body = {"messages": list(turns), "max_tokens": 5}
    return read(message_asked(body, CONTEXT).requests[0].prompt)


def read(prompt: Any) -> tuple[Message, ...]:
    assert isinstance(prompt, ChatPrompt)
    return prompt.messages


def of_chat(call: ToolCall, **change: Any) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments, **change}
    return {"id": call.call_id, "type": "function", "function": function}


def of_response(call: ToolCall, **change: Any) -> dict[str, Any]:
    known = {"call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    return {"type": "function_call", "id": "fc_1", "status": "completed", **known, **change}


def output(call: ToolCall, text: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call.call_id, "output": text}


def use(call: ToolCall, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": given}


def result(call: ToolCall, **said: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call.call_id, **said}


USER = {"role": "user", "content": "Rain?"}
CALLING = {"role": "assistant", "content": [use(OSLO, {"city": "Oslo"})]}
LINES = ("no", "at all")


def test_a_chat_brings_calls_and_results() -> None:
    calls = [of_chat(OSLO), of_chat(ROME)]
    assert (
        chat(
            USER,
            {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "yes"},
            {
                "role": "tool",
                "tool_call_id": "c2",
                "content": [{"type": "text", "text": line} for line in LINES],
            },
            {"role": "user", "content": "And?", "name": "Ann Other", "tool_calls": None},
        )
        == HISTORY
    )


def test_a_response_is_asked_for_with_the_items_of_earlier_ones() -> None:
    assert (
        response(
            USER,
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": "Let me see."},
            of_response(OSLO),
            {"type": "reasoning", "id": "rs_2", "summary": []},
            of_response(ROME),
            output(OSLO, "yes"),
            output(ROME, [{"type": "input_text", "text": line} for line in LINES]),
            {"role": "user", "content": "And?"},
        )
        == HISTORY
    )


def test_a_message_is_asked_for_with_blocks_of_earlier_ones() -> None:
    assert (
        message(
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    use(OSLO, {"city": "Oslo"}),
                    use(ROME, {"city": "Rome"}),
                ],
            },
            {
                "role": "user",
                "content": [
                    result(OSLO, content="yes"),
                    result(
                        ROME,
                        content=[{"type": "text", "text": one} for one in LINES],
                        is_error=True,
                    ),
                    {"type": "text", "text": "And?"},
                ],
            },
        )
        == HISTORY
    )


def test_calls_need_no_text() -> None:
    calls = (ASKED, Message("assistant", "", (OSLO,)))
    for content in ({"content": None}, {"content": ""}, {}):
        turn = {"role": "assistant", "tool_calls": [of_chat(OSLO)], **content}
        assert chat(USER, turn) == calls
    assert response(USER, of_response(OSLO)) == calls
    assert message(USER, {"role": "assistant", "content": [use(OSLO, {"city": "Oslo"})]}) == calls


def test_calls_belong_to_the_assistant_s_message_right_before_them() -> None:
    said = {"type": "message", "role": "assistant", "content": "So"}
    told = output(OSLO, "yes")
    assert response(said, said, of_response(OSLO), told, USER, of_response(ROME), said) == (
        Message("assistant", "So"),
        Message("assistant", "So", (OSLO,)),
        Message("tool", "yes", (), "c1", "rain"),
        ASKED,
        Message("assistant", "", (ROME,)),
        Message("assistant", "So"),
    )


def test_a_turn_of_results_alone_has_no_text_of_the_user() -> None:
    (_, found) = message(CALLING, {"role": "user", "content": [result(OSLO)]})
    assert found == Message("tool", "", (), "c1", "rain")


def test_results_come_before_what_the_user_adds_wherever_that_stands() -> None:
    text = [{"type": "text", "text": one} for one in LINES]
    content = [text[0], result(OSLO, content="yes"), text[1]]
    (_, *found) = message(CALLING, {"role": "user", "content": content})
    assert found == [Message("tool", "yes", (), "c1", "rain"), Message("user", "no\nat all")]


def test_results_are_told_in_the_order_of_their_calls() -> None:
    """In the words of each protocol: whoever runs calls beside each other sends what is there."""
    told = (
        Message("tool", "in Oslo", (), "c1", "rain"),
        Message("tool", "in Rome", (), "c2", "rain"),
    )
    calls = {"role": "assistant", "tool_calls": [of_chat(OSLO), of_chat(ROME)]}
    results = [
        {"role": "tool", "tool_call_id": "c2", "content": "in Rome"},
        {"role": "tool", "tool_call_id": "c1", "content": "in Oslo"},
    ]
    assert chat(USER, calls, *results, USER)[2:4] == told
    outputs = [output(ROME, "in Rome"), output(OSLO, "in Oslo")]
    assert response(USER, of_response(OSLO), of_response(ROME), *outputs, USER)[2:4] == told
    used = [use(OSLO, {"city": "Oslo"}), use(ROME, {"city": "Rome"})]
    content = [result(ROME, content="in Rome"), result(OSLO, content="in Oslo")]
    turns = {"role": "assistant", "content": used}, {"role": "user", "content": content}
    assert message(USER, *turns)[2:] == told


@pytest.mark.parametrize(
    ("turns", "field", "problem"),
    [
        ([("c9", 0)], "messages[1].tool_call_id", "is 'c9', and no call before it has that id"),
        ([(OSLO, ROME), ("c1", 0), ("c9", 0)], "messages[3].tool_call_id", "is 'c9', and no call"),
        ([(OSLO, ROME), ("c1", 0), ("c1", 0)], "messages[3].tool_call_id", "has a result already"),
        ([(OSLO,), ("c1", 0), ("", 0)], "messages[3].tool_call_id", "is missing, and all calls"),
        ([(OSLO, OSLO)], "messages[1]", "has two calls with the id 'c1'"),
        ([(OSLO, ROME), ("c1", 0), None], "messages[3]", "the result of the call with the id 'c2'"),
        (
            [(OSLO,), None],
            "messages[2]",
            "the result of the call with the id 'c1'; give that first",
        ),
        ([(OSLO,), (ROME,)], "messages[2]", "the result of the call with the id 'c1'"),
        ([(OSLO, ROME), ("c2", 0)], "messages", "the result of the call with the id 'c1'"),
    ],
)
def test_results_that_are_not_those_of_the_calls_before_them_are_refused(
    turns: list[Any], field: str, problem: str
) -> None:
    written: list[dict[str, Any]] = [USER]
    for turn in turns:
        if turn is None:
            written.append(USER)
        elif isinstance(turn[0], ToolCall):
            written.append({"role": "assistant", "tool_calls": [*map(of_chat, turn)]})
        else:
            written.append({"role": "tool", "tool_call_id": turn[0], "content": "x"})
    with pytest.raises(InvalidRequest) as caught:
        chat(*written)
    assert caught.value.field == field
    assert problem in caught.value.problem


def test_results_without_ids_are_those_of_the_calls_in_their_order() -> None:
    calls = {"role": "assistant", "tool_calls": [of_chat(OSLO), of_chat(ROME)]}
    results = [{"role": "tool", "content": one} for one in ("in Oslo", "in Rome")]
    assert chat(calls, *results)[1:] == (
        Message("tool", "in Oslo", name="rain"),
        Message("tool", "in Rome", name="rain"),
    )
    nameless = [{**of_chat(call), "id": None} for call in (OSLO, ROME)]
    named = {**results[0], "tool_call_id": "x"}
    found = chat({"role": "assistant", "tool_calls": nameless}, named, results[1])
    assert [one.content for one in found[1:]] == ["in Oslo", "in Rome"]


def test_arguments_may_be_none_and_the_object_itself() -> None:
    none = ToolCall("c1", "rain", "{}")
    for arguments in ("", None, {}):
        turn = {"role": "assistant", "tool_calls": [of_chat(OSLO, arguments=arguments)]}
        assert chat(turn)[0].tool_calls == (none,)
    assert response(of_response(OSLO, arguments={"city": "Oslo"}))[0].tool_calls == (OSLO,)
    assert message({"role": "assistant", "content": [use(OSLO, None)]})[0].tool_calls == (none,)


def test_a_result_may_name_its_tool_and_no_call() -> None:
    assert chat({"role": "tool", "name": "rain", "content": "no"}) == (
        Message("tool", "no", name="rain"),
    )


def calling(**change: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{**of_chat(OSLO), **change}]}


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        ({"role": "function", "name": "rain", "content": "no"}, "role"),
        ({"role": "assistant", "function_call": {"name": "rain"}}, "function_call"),
        (calling(type="custom"), "tool_calls[0].type"),
        (calling(id="c" * 257), "tool_calls[0].id"),
        (calling(function={"name": ""}), "tool_calls[0].function.name"),
        (calling(function={"name": "f", "arguments": "x"}), "tool_calls[0].function.arguments"),
        (calling(function={"name": "f", "arguments": "[1]"}), "tool_calls[0].function.arguments"),
        (calling(function={"name": "f", "arguments": 3}), "tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [of_chat(OSLO)] * 129}, "tool_calls"),
        ({"role": "assistant", "tool_calls": {}}, "tool_calls"),
        ({"role": "user", "content": "x", "tool_calls": [of_chat(OSLO)]}, "tool_calls"),
        ({"role": "tool", "content": "x", "tool_calls": [of_chat(OSLO)]}, "tool_calls"),
        ({"role": "tool", "content": "x", "tool_call_id": "c" * 257}, "tool_call_id"),
        ({"role": "tool", "content": "x", "name": "a b"}, "name"),
        ({"role": "tool", "content": [{"type": "image_url"}]}, "content[0].type"),
    ],
)
def test_what_is_no_call_or_result_of_a_chat_is_refused_by_its_path(
    turn: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(USER, turn)
    assert caught.value.field == f"messages[1].{field}"


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (of_response(OSLO, call_id=None), "call_id"),
        (of_response(OSLO, name="a b"), "name"),
        (of_response(OSLO, arguments="x"), "arguments"),
        ({"type": "function_call_output", "output": "x"}, "call_id"),
        ({"type": "function_call_output", "call_id": "c1"}, "output"),
        (output(OSLO, [{"type": "input_image"}]), "output[0].type"),
        ({"type": "custom_tool_call", "call_id": "c1"}, "type"),
    ],
)
def test_what_is_no_call_or_result_of_a_response_is_refused_by_its_path(
    item: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        response(USER, item)
    assert caught.value.field == f"input[1].{field}"


def test_of_calls_in_a_row_there_are_no_more_than_one_message_may_have() -> None:
    with pytest.raises(InvalidRequest, match="has more than 128 calls") as caught:
        response(*[of_response(OSLO)] * 129)
    assert caught.value.field == "input"


@pytest.mark.parametrize(
    ("role", "block", "field"),
    [
        ("assistant", {"type": "tool_use", "name": "f", "input": {}}, "content[0].id"),
        ("assistant", {"type": "tool_use", "id": "c", "input": {}}, "content[0].name"),
        ("assistant", use(OSLO, [1]), "content[0].input"),
        ("assistant", use(OSLO, {"a": "x" * 70_000}), "content[0].input"),
        ("assistant", result(OSLO), "content[0].type"),
        ("user", use(OSLO, {}), "content[0].type"),
        ("user", {"type": "tool_result", "content": "x"}, "content[0].tool_use_id"),
        ("user", result(OSLO, content=[{"type": "image"}]), "content[0].content[0].type"),
        ("user", result(OSLO, is_error="no"), "content[0].is_error"),
    ],
)
def test_what_is_no_call_or_result_of_a_message_is_refused_by_its_path(
    role: str, block: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        message(USER, {"role": role, "content": [block]})
    assert caught.value.field == f"messages[1].{field}"
