"""How answers that call tools are told in the words of each protocol, whole and piece by piece."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic.types
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from quorate.api.http.anthropic.messages import message_asked
from quorate.api.http.anthropic.shapes import MessageShape
from quorate.api.http.asking import Context
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.response_shapes import ResponseShape
from quorate.api.http.openai.responses import response_asked
from quorate.api.http.openai.shapes import ChatShape
from quorate.api.http.shapes import Shape
from quorate.large_texts import as_json
from quorate.request import (
    Accepted,
    CallPart,
    Delta,
    Event,
    Finished,
    FinishReason,
    Token,
    Usage,
    Vote,
)
from support.attempts import vote_decision

CONTEXT = Context(models=["a", "b"], profiles=[], request_id="r", context_length=4096)
HI = [{"role": "user", "content": "Rain?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "rain", "description": "Of today.", "parameters": SCHEMA, "strict": True}
OF_RESPONSE = {"type": "function", **FUNCTION}
RESPONSE_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENTS: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)

OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
CALLS = (
    Delta("", (), calls=(CallPart(0, "c1", "rain"),)),
    Delta("", (), calls=(CallPart(0, arguments=OSLO[:5]),)),
    # One piece has the end of one call and all of the next one.
    Delta("", (), calls=(CallPart(0, arguments=OSLO[5:]), CallPart(1, "c2", "rain", ROME[:3]))),
    Delta("", (), calls=(CallPart(1, arguments=ROME[3:]),)),
)
TEXT = (Delta("Let me ", ()), Delta("see.", ()))


def chat_shape(**body: Any) -> ChatShape:
    tools = [{"type": "function", "function": FUNCTION}]
    return ChatShape(chat_asked({"messages": HI, "tools": tools, **body}, CONTEXT), "r")


def response_shape(**body: Any) -> ResponseShape:
    asked = response_asked({"input": "Rain?", "tools": [OF_RESPONSE], **body}, CONTEXT)
    return ResponseShape(asked, "r")


def message_shape(**body: Any) -> MessageShape:
    tools = [{"name": "rain", "input_schema": SCHEMA}]
    asked = message_asked({"messages": HI, "max_tokens": 9, "tools": tools, **body}, CONTEXT)
    return MessageShape(asked, "r")


def answer(*deltas: Delta, reason: FinishReason = FinishReason.TOOL_CALLS) -> list[Event]:
    accepted = Accepted("r", vote_decision({"a": 0.5, "b": 0.5}))
    return [accepted, *deltas, Finished(reason, Usage(3, 7, 1.0, 2.0))]


def whole(shape: Shape, events: Sequence[Event]) -> dict[str, Any]:
    for event in events:
        shape.add(0, event, keep=True)
    told: dict[str, Any] = json.loads(as_json(shape.whole()))
    return told


def streamed(shape: Shape, events: Sequence[Event]) -> list[dict[str, Any]]:
    told = []
    for event in events:
        shape.add(0, event, keep=False)
        for piece in shape.pieces(0, event):
            one = shape.as_sent(piece() if callable(piece) else piece)
            told.append(json.loads(as_json(one)))
    return told


def deltas(shape: ChatShape, events: Sequence[Event]) -> list[dict[str, Any]]:
    """What the chunks of a chat tell between the first one and the last."""
    chunks = streamed(shape, events)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]


def token(piece: bytes, **more: Any) -> Token:
    votes = (Vote("a", piece, -0.1, 0.5, -0.1), Vote("b", piece, -0.2, 0.5, -0.2))
    return Token(None, piece, -0.5, votes=votes, **more)


MARKED = (
    Delta("", (token(b"<call>"),)),
    Delta("", (token(b"rain"),), calls=(CallPart(0, "c1", "rain"),)),
    Delta("", (token(b"{}"),), calls=(CallPart(0, arguments="{}"),)),
    Delta("", (token(b"</call>"),)),
)
"""A call of which every token is told, those of the marks around it as well."""


def pieces_voted_on(told: Sequence[dict[str, Any]]) -> list[str]:
    votes = [one for event in told for one in event.get("quorate", {}).get("votes", [])]
    return [one["piece"] for one in votes]


def test_a_chat_is_told_with_calls_and_no_text() -> None:
    told = whole(chat_shape(), answer(*CALLS))
    ChatCompletion.model_validate(told, strict=True)
    (choice,) = told["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": OSLO}},
        {"id": "c2", "type": "function", "function": {"name": "rain", "arguments": ROME}},
    ]


def test_a_text_before_calls_is_told_and_without_calls_nothing_of_any() -> None:
    message = whole(chat_shape(), answer(*TEXT, *CALLS))["choices"][0]["message"]
    assert (message["content"], len(message["tool_calls"])) == ("Let me see.", 2)
    none = whole(chat_shape(), answer(reason=FinishReason.END_OF_GENERATION))["choices"][0]
    assert none["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_a_call_is_streamed_as_openai_does_it() -> None:
    begun = {"type": "function", "function": {"name": "rain", "arguments": ""}}
    calls = [
        {"index": 0, "id": "c1", **begun},
        {"index": 0, "function": {"arguments": OSLO[:5]}},
        {"index": 0, "function": {"arguments": OSLO[5:]}},
        {"index": 1, "id": "c2", **begun},
        {"index": 1, "function": {"arguments": ROME[:3]}},
        {"index": 1, "function": {"arguments": ROME[3:]}},
    ]
    assert deltas(chat_shape(), answer(*TEXT, *CALLS)) == [
        {"content": "Let me "},
        {"content": "see."},
        *({"tool_calls": [one]} for one in calls),
    ]
    assert streamed(chat_shape(), answer(*CALLS))[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_openai_s_client_puts_a_streamed_chat_together() -> None:
    state = ChatCompletionStreamState()
    for chunk in streamed(chat_shape(), answer(*TEXT, *CALLS)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    (choice,) = state.get_final_completion().choices
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me see."
    found = [one.function for one in choice.message.tool_calls or []]  # type: ignore[union-attr]
    assert [(one.name, one.arguments) for one in found] == [("rain", OSLO), ("rain", ROME)]


def test_each_choice_of_a_chat_has_calls_of_its_own() -> None:
    shape = chat_shape(n=2)
    for index, deltas in enumerate((CALLS, TEXT)):
        for event in answer(*deltas):
            shape.add(index, event, keep=True)
    first, second = (one["message"] for one in shape.whole()["choices"])
    assert (first["content"], len(first["tool_calls"])) == (None, 2)
    assert second["content"] == "Let me see." and "tool_calls" not in second


def test_nothing_is_sent_for_marks_around_calls_unless_their_tokens_are_told() -> None:
    events = answer(*MARKED)
    assert [[*one] for one in deltas(chat_shape(), events)] == [["tool_calls"]] * 2
    voted = chat_shape(quorate={"votes": True})
    assert [[*one] for one in deltas(voted, events)] == [
        ["content"],
        ["tool_calls"],
        ["tool_calls"],
        ["content"],
    ]
    pieces = ["<call>", "rain", "{}", "</call>"]
    assert pieces_voted_on(streamed(chat_shape(quorate={"votes": True}), events)) == pieces
    chunks = streamed(chat_shape(logprobs=True), events)[1:-1]
    logprobs = [one for chunk in chunks for one in chunk["choices"][0]["logprobs"]["content"]]
    assert [one["token"] for one in logprobs] == pieces


def test_a_response_has_an_item_for_each_call() -> None:
    told = whole(response_shape(), answer(*TEXT, *CALLS))
    Response.model_validate(told, strict=True)
    assert (told["status"], told["incomplete_details"]) == ("completed", None)
    message, *calls = told["output"]
    assert message["content"][0]["text"] == "Let me see."
    same = {"type": "function_call", "status": "completed", "name": "rain"}
    assert calls == [
        {**same, "id": "fc_r_1", "call_id": "c1", "arguments": OSLO},
        {**same, "id": "fc_r_2", "call_id": "c2", "arguments": ROME},
    ]
    alone = whole(response_shape(), answer(*CALLS))["output"]
    assert [one["type"] for one in alone] == ["function_call", "function_call"]


def test_a_response_repeats_its_tools_and_the_choice_among_them() -> None:
    told = whole(response_shape(parallel_tool_calls=False), answer(*TEXT))
    assert (told["tools"], told["tool_choice"]) == ([OF_RESPONSE], "auto")
    assert told["parallel_tool_calls"] is False
    named = {"type": "function", "name": "rain"}
    more = {"type": "function", "name": "sun"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [more]}
    for choice in ("none", "required", named, allowed):
        told = whole(response_shape(tools=[OF_RESPONSE, more], tool_choice=choice), answer(*TEXT))
        Response.model_validate(told, strict=True)
        assert told["tool_choice"] == choice
        assert [one["name"] for one in told["tools"]] == ["rain", "sun"]


def test_what_repeats_tools_is_put_together_beside_the_event_loop() -> None:
    for tools in ([OF_RESPONSE], []):
        shape = response_shape(tools=tools)
        accepted = answer()[0]
        shape.add(0, accepted, keep=False)
        assert [callable(one) for one in shape.pieces(0, accepted)] == [bool(tools)] * 2


def test_a_streamed_response_tells_each_call_where_it_begins_and_where_it_ends() -> None:
    events = answer(*TEXT, *CALLS)
    told = streamed(response_shape(), events)
    for one in told:
        RESPONSE_EVENTS.validate_python(one)
    message = ["content_part.done", "output_item.done"]
    call = ["output_item.added", *["function_call_arguments.delta"] * 2]
    done = ["function_call_arguments.done", "output_item.done"]
    kinds = [one["type"].removeprefix("response.") for one in told]
    assert kinds[6:] == ["output_text.done", *message, *call, *done, *call, *done, "completed"]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    begun = {"type": "function_call", "status": "in_progress", "name": "rain", "arguments": ""}
    assert told[9]["item"] == {**begun, "id": "fc_r_1", "call_id": "c1"}
    assert [told[9]["output_index"], told[14]["output_index"]] == [1, 2]
    assert [one["delta"] for one in told[10:12]] == [OSLO[:5], OSLO[5:]]
    place = (told[12]["item_id"], told[12]["output_index"])
    assert (*place, told[12]["name"], told[12]["arguments"]) == ("fc_r_1", 1, "rain", OSLO)
    output = whole(response_shape(), events)["output"]
    assert [told[13]["item"], told[18]["item"]] == output[1:]
    assert told[-1]["response"]["output"] == output


def test_a_call_that_was_cut_is_incomplete() -> None:
    events = answer(*CALLS[:3], reason=FinishReason.MAX_TOKENS)
    chat = whole(chat_shape(), events)["choices"][0]
    assert chat["finish_reason"] == "length"
    assert chat["message"]["tool_calls"][1]["function"]["arguments"] == ROME[:3]
    response = whole(response_shape(), events)
    assert response["status"] == "incomplete"
    assert [one["status"] for one in response["output"]] == ["completed", "incomplete"]
    message = whole(message_shape(), events)
    assert message["stop_reason"] == "max_tokens"
    assert [one["input"] for one in message["content"]] == [{"city": "Oslo"}, {}]


@pytest.mark.parametrize("asks", [{"quorate": {"votes": True}}, {}])
def test_marks_around_a_call_make_no_item_of_a_response(asks: dict[str, Any]) -> None:
    include = ["message.output_text.logprobs"]
    events = answer(*MARKED)
    told = whole(response_shape(include=include, **asks), events)
    assert [one["type"] for one in told["output"]] == ["function_call"]
    pieces = streamed(response_shape(include=include, **asks), events)
    assert pieces[-1]["response"]["output"] == told["output"]
    assert pieces_voted_on(pieces) == (["<call>", "rain", "{}", "</call>"] if asks else [])


def test_tokens_before_the_first_whole_character_are_told_with_the_message() -> None:
    half = Delta("", (token(b"\xc3"),))
    include = {"include": ["message.output_text.logprobs"], "quorate": {"votes": True}}
    for rest in ([Delta("é", (token(b"\xa9"),))], []):
        events = answer(half, *rest, reason=FinishReason.END_OF_GENERATION)
        pieces = streamed(response_shape(**include), events)
        (item,) = pieces[-1]["response"]["output"]
        logprobs = [one["bytes"] for one in item["content"][0]["logprobs"]]
        assert logprobs == [[0xC3], [0xA9]][: 1 + len(rest)]
        told = [one for one in pieces if one["type"] == "response.output_text.delta"]
        assert [one["bytes"] for event in told for one in event["logprobs"]] == logprobs
        assert len(pieces_voted_on(pieces)) == len(logprobs)


def test_a_message_has_a_block_for_a_text_and_for_each_call() -> None:
    told = whole(message_shape(), answer(*TEXT, *CALLS))
    anthropic.types.Message.model_validate(told, strict=True)
    calls = [
        {"type": "tool_use", "id": "c1", "name": "rain", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "c2", "name": "rain", "input": {"city": "Rome"}},
    ]
    assert told["stop_reason"] == "tool_use"
    assert told["content"] == [{"type": "text", "text": "Let me see."}, *calls]
    assert whole(message_shape(), answer(*CALLS))["content"] == calls


def told_of(shape: MessageShape, events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Kind, place and content of each event of a message between its first and last ones."""
    told = streamed(shape, events)
    for one in told:
        MESSAGE_EVENTS.validate_python(one)
    return [
        (one["type"].removeprefix("content_block_"), one["index"], *map(of_block, [one]))
        for one in told[1:-2]
    ]


def of_block(event: dict[str, Any]) -> Any:
    said = event.get("delta") or event.get("content_block") or {}
    return said.get("text", said.get("partial_json", said.get("id")))


def test_a_streamed_message_opens_each_block_once_it_has_something() -> None:
    calls = [("start", "c1"), ("delta", OSLO[:5]), ("delta", OSLO[5:]), ("stop", None)]
    more = [("start", "c2"), ("delta", ROME[:3]), ("delta", ROME[3:]), ("stop", None)]
    text = [("start", ""), ("delta", "Let me "), ("delta", "see."), ("stop", None)]
    for blocks, deltas in (([text, calls, more], (*TEXT, *CALLS)), ([calls, more], CALLS)):
        expected = [(kind, at, said) for at, block in enumerate(blocks) for kind, said in block]
        assert told_of(message_shape(), answer(*deltas)) == expected
    events = streamed(message_shape(), answer(*CALLS))
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    begun = {"type": "tool_use", "id": "c1", "name": "rain", "input": {}}
    assert events[1]["content_block"] == begun


def test_a_message_without_a_word_or_a_call_has_an_empty_text() -> None:
    events = answer(Delta("", (token(b"", control=True),)), reason=FinishReason.END_OF_GENERATION)
    assert whole(message_shape(), events)["content"] == [{"type": "text", "text": ""}]
    assert told_of(message_shape(), events) == [("start", 0, ""), ("stop", 0, None)]


def test_votes_of_marks_around_calls_are_told_with_what_comes_next() -> None:
    told = streamed(message_shape(quorate={"votes": True}), answer(*MARKED))
    assert pieces_voted_on(told) == ["<call>", "rain", "{}", "</call>"]
    assert pieces_voted_on(told[-2:]) == ["</call>"]


def test_arguments_that_are_nested_deep_are_told_by_all() -> None:
    deep = '{"a":' * 60 + "1" + "}" * 60
    call = Delta("", (), calls=(CallPart(0, "c", "f", deep),))
    (block,) = whole(message_shape(), answer(call))["content"]
    assert json.dumps(block["input"], separators=(",", ":")) == deep
