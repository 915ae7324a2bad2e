"""What bodies of ``/v1/responses`` ask for, and how their answers are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import TypeAdapter

from quorate.api.http.asking import Asked, Context
from quorate.api.http.errors import error_body, field_of
from quorate.api.http.openai.response_shapes import ResponseShape
from quorate.api.http.openai.responses import response_asked
from quorate.api.http.unserved import NOT_SERVED
from quorate.errors import InvalidRequest, NotFound, Overloaded
from quorate.large_texts import as_json
from quorate.request import (
    Accepted,
    ChatPrompt,
    ConstraintKind,
    Delta,
    Event,
    Finished,
    FinishReason,
    Message,
    OutputConstraint,
    Token,
    TopCandidate,
    Usage,
    Vote,
)
from support.attempts import vote_decision

CONTEXT = Context(models=["a", "b"], profiles=[], request_id="r", context_length=4096)
LOGPROBS = ["message.output_text.logprobs"]
SCHEMA = {"type": "object", "properties": {"é": {"type": "integer"}}}
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def asked(**body: Any) -> Asked:
    return response_asked({"input": "hi", **body}, CONTEXT)


def messages(**body: Any) -> list[tuple[str, str]]:
    prompt = asked(**body).requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    return [(one.role, one.content) for one in prompt.messages]


def test_a_body_asks_for_what_openai_s_fields_say() -> None:
    told = asked(
        model="vote:a+b",
        instructions="be brief",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stream=True,
        include=LOGPROBS,
        top_logprobs=3,
        store=True,
        quorate={"local_only": True, "votes": True, "request_id": "mine"},
    )
    (request,) = told.requests
    assert request.prompt == ChatPrompt((Message("system", "be brief"), Message("user", "hi")))
    assert (request.sampling.temperature, request.sampling.top_p) == (0.5, 0.9)
    assert request.stopping.max_tokens == 9
    assert (request.response.top_logprobs, request.response.member_votes) == (3, True)
    assert (told.stream, told.logprobs, told.request_id) == (True, True, "mine")
    assert request.local_only


def test_what_is_left_out_cuts_nothing_away() -> None:
    (request,) = asked().requests
    assert (request.sampling.temperature, request.sampling.top_p) == (1.0, 1.0)
    assert request.stopping.max_tokens is None
    assert request.response.omit_logprobs


def test_items_are_read_as_clients_send_them_back() -> None:
    shape = ResponseShape(asked(), "r")
    said = [Delta("", (), reasoning="hm"), Delta("so", ())]
    output = whole(shape, answer(*said))["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    items = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": parts},
        *output,
        {"role": "user", "content": "and?"},
    ]
    assert messages(input=items) == [
        ("system", "be brief"),
        ("user", "a\nb"),
        ("assistant", "so"),
        ("user", "and?"),
    ]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("input", {"input": None}),
        ("input", {"input": []}),
        ("input", {"input": 3}),
        ("input", {"input": {}}),
        ("input[0]", {"input": ["hi"]}),
        ("input[0].role", {"input": [{"content": "hi"}]}),
        ("input[0].role", {"input": [{"role": "tool", "content": "4"}]}),
        ("input[0].content", {"input": [{"role": "user"}]}),
        ("input[0].content", {"input": [{"role": "user", "content": 4}]}),
        (
            "input[0].content[0].type",
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        ),
        (
            "input[1].content[0].type",
            {
                "input": [
                    {"role": "user", "content": "hi"},
                    {"role": "user", "content": [{"type": "input_file", "file_id": "x"}]},
                ]
            },
        ),
        ("input[0].type", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("input[0].type", {"input": [{"type": "custom_tool_call", "call_id": "c"}]}),
        ("instructions", {"instructions": ["be brief"]}),
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("conversation", {"conversation": {"id": "conv_1"}}),
        ("prompt", {"prompt": {"id": "pmpt_1"}}),
        ("background", {"background": True}),
        ("truncation", {"truncation": "auto"}),
        ("context_management", {"context_management": [{"type": "compaction"}]}),
        ("moderation", {"moderation": {"model": "omni"}}),
        ("n", {"n": 2}),
        ("echo", {"echo": True}),
        ("messages", {"messages": [{"role": "user", "content": "hi"}]}),
        ("max_tokens", {"max_tokens": 5}),
        ("max_completion_tokens", {"max_completion_tokens": 5}),
        ("max_output_tokens", {"max_output_tokens": 0}),
        ("reasoning.effort", {"reasoning": {"effort": "high"}}),
        ("reasoning.summary", {"reasoning": {"effort": "none", "summary": "auto"}}),
        ("text", {"text": "plain"}),
        ("text.verbosity", {"text": {"verbosity": "low"}}),
        ("text.format.type", {"text": {"format": {"type": "grammar"}}}),
        ("text.format.schema", {"text": {"format": {"type": "json_schema", "name": "x"}}}),
        ("text.format.name", {"text": {"format": {"type": "json_object", "name": "x" * 65}}}),
        ("top_logprobs", {"top_logprobs": 3}),
        ("top_logprobs", {"top_logprobs": 1000, "include": LOGPROBS}),
        ("include", {"include": "x"}),
        ("tools[0].type", {"tools": [{"type": "web_search"}]}),
        ("max_tool_calls", {"max_tool_calls": 3}),
        ("tool_choice", {"tool_choice": "required"}),
        ("metadata", {"metadata": {str(at): "" for at in range(17)}}),
        ("metadata", {"metadata": {"x" * 65: ""}}),
        ("metadata.x", {"metadata": {"x": "x" * 513}}),
        ("metadata.x", {"metadata": {"x": 3}}),
        ("stream", {"stream": "yes"}),
        ("quorate.local", {"quorate": {"local": True}}),
    ],
)
def test_what_can_never_be_served_is_refused_by_its_path(field: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**body)
    assert caught.value.field == field


@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_no_path_serves_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**{name: {"format": "x", "type": "x"}})
    assert caught.value.field == name


def test_what_refers_to_something_stored_is_told_what_to_send() -> None:
    with pytest.raises(InvalidRequest, match="nothing is stored here; send all of it in input"):
        asked(previous_response_id="resp_1")
    with pytest.raises(InvalidRequest, match="send the item itself"):
        asked(input=[{"type": "item_reference", "id": "msg_1"}])


def test_what_changes_nothing_of_an_answer_is_passed_over() -> None:
    more = {
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": True,
        "background": False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, "mode": "standard"},
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "truncation": "disabled",
        "include": ["reasoning.encrypted_content"],
        "stream_options": {"include_obfuscation": False},
        "metadata": {"a": "b"},
        "user": "u",
        "prompt_cache_key": "k",
    }
    assert asked(**more).requests == asked().requests


def test_a_form_is_read_from_the_text_that_is_asked_for() -> None:
    form = {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}
    told = asked(text={"format": form})
    held = OutputConstraint(ConstraintKind.JSON_SCHEMA, as_json(SCHEMA).decode())
    assert told.requests[0].constraint == held
    assert told.names["json_schema"] == "text.format.schema"
    assert told.repeated["text"] == {"format": form}
    any_object = asked(text={"format": {"type": "json_object"}}).requests[0].constraint
    assert any_object is not None and json.loads(any_object.text) == {"type": "object"}


def test_only_what_has_a_limit_is_repeated_of_a_form() -> None:
    form = {"type": "text", "schema": "x" * 100_000, "description": "x" * 100_000}
    assert asked(text={"format": form}).repeated["text"] == {"format": {"type": "text"}}
    form = {"type": "json_object", "description": "x" * 100_000, "more": "x" * 100_000}
    assert asked(text={"format": form}).repeated["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("chat", "input"),
        ("prompt", "input"),
        ("chat.messages[3].role", "input[3].role"),
        ("input[1].content", "input[1].content"),
        ("stopping.max_tokens", "max_output_tokens"),
        ("plan.single.model", "model"),
    ],
)
def test_a_field_is_told_by_the_name_that_its_caller_gave_it(field: str, told: str) -> None:
    assert field_of(field, asked(max_output_tokens=5).names) == told


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "input",
                "instructions",
                "text",
                "reasoning",
                "metadata",
                "include",
                "top_logprobs",
                "max_output_tokens",
                "tool_choice",
                "quorate",
                "stream",
            ]
        ),
        json_values,
    )
)
def test_any_json_object_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(InvalidRequest, NotFound):
        asked(**body)


def answer(*deltas: Delta, reason: FinishReason = FinishReason.END_OF_GENERATION) -> list[Event]:
    accepted = Accepted("r", vote_decision({"a": 0.5, "b": 0.5}))
    return [accepted, *deltas, Finished(reason, Usage(3, 7, 1.0, 2.0))]


def whole(shape: ResponseShape, events: Sequence[Event]) -> dict[str, Any]:
    for event in events:
        shape.add(0, event, keep=True)
    told: dict[str, Any] = json.loads(as_json(shape.whole()))
    Response.model_validate(told, strict=True)
    return told


def streamed(shape: ResponseShape, events: Sequence[Event]) -> list[dict[str, Any]]:
    told = []
    for event in events:
        shape.add(0, event, keep=False)
        for piece in shape.pieces(0, event):
            one = shape.as_sent(piece() if callable(piece) else piece)
            told.append(json.loads(as_json(one)))
            EVENTS.validate_python(told[-1])
    return told


def token(piece: bytes, logprob: float = -0.5, *top: TopCandidate, **more: Any) -> Token:
    return Token(None, piece, logprob, top, **more)


def test_a_whole_response_has_what_clients_know_of_it() -> None:
    told = whole(
        ResponseShape(asked(model="a", metadata={"x": "y"}, max_output_tokens=9), "r"),
        answer(Delta("so ", ()), Delta("it is", ())),
    )
    assert (told["id"], told["object"], told["status"]) == ("resp_r", "response", "completed")
    assert (told["model"], told["error"], told["incomplete_details"]) == ("a", None, None)
    assert (told["metadata"], told["max_output_tokens"]) == ({"x": "y"}, 9)
    assert (told["temperature"], told["top_p"], told["store"]) == (1.0, 1.0, False)
    assert told["completed_at"] >= told["created_at"]
    (item,) = told["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert item["content"] == [
        {"type": "output_text", "text": "so it is", "annotations": [], "logprobs": []}
    ]
    assert told["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    assert [one["model"] for one in told["quorate"]["members"]] == ["a", "b"]
    assert told["quorate"]["duration_ms"] == 2.0


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (FinishReason.MAX_TOKENS, "max_output_tokens"),
        (FinishReason.MAX_BYTES, "max_output_tokens"),
        (FinishReason.CONTEXT_FULL, "max_output_tokens"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
        (FinishReason.STOP_STRING, None),
    ],
)
def test_an_answer_that_was_cut_is_incomplete(reason: FinishReason, why: str | None) -> None:
    events = answer(Delta("so", ()), reason=reason)
    told = whole(ResponseShape(asked(), "r"), events)
    status = "completed" if why is None else "incomplete"
    assert told["status"] == told["output"][0]["status"] == status
    assert told["incomplete_details"] == (None if why is None else {"reason": why})
    assert (told["completed_at"] is None) == (why is not None)
    last = streamed(ResponseShape(asked(), "r"), events)[-1]
    assert last["type"] == f"response.{status}"
    assert last["response"]["output"] == told["output"]


def test_a_stream_tells_each_item_where_it_begins_and_where_it_ends() -> None:
    thought = Delta("", (token(b"hm"), token(b"", control=True)), reasoning="hm")
    events = answer(thought, Delta("so ", ()), Delta("it is", ()))
    told = streamed(ResponseShape(asked(), "r"), events)
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    assert [one["type"].removeprefix("response.") for one in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    assert [one["output_index"] for one in told[2:-1]] == [0] * 6 + [1] * 7
    ids = [one.get("item_id") or one["item"]["id"] for one in told[2:-1]]
    assert ids == ["rs_r_0"] * 6 + ["msg_r_1"] * 7
    assert told[5]["text"] == "hm"
    assert told[12]["text"] == "so it is"
    response = whole(ResponseShape(asked(), "r"), events)
    assert [told[7]["item"], told[14]["item"]] == response["output"]
    assert told[-1]["response"]["output"] == response["output"]
    assert told[-1]["response"]["usage"] == response["usage"]
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
    reasoning = response["output"][0]
    assert (reasoning["type"], reasoning["summary"]) == ("reasoning", [])
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_a_model_that_thinks_again_has_an_item_for_each_time() -> None:
    thoughts = [Delta("", (), reasoning=one) for one in ("one", "two")]
    events = answer(thoughts[0], Delta("so", ()), thoughts[1], Delta("no", ()))
    told = whole(ResponseShape(asked(), "r"), events)
    items = [(one["type"], one["content"][0]["text"]) for one in told["output"]]
    assert items == [
        ("reasoning", "one"),
        ("message", "so"),
        ("reasoning", "two"),
        ("message", "no"),
    ]
    assert streamed(ResponseShape(asked(), "r"), events)[-1]["response"]["output"] == told["output"]


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [
        (FinishReason.MAX_TOKENS, ["reasoning"]),
        (FinishReason.END_OF_GENERATION, ["reasoning", "message"]),
    ],
)
def test_a_message_is_missing_only_where_the_model_was_cut_as_it_thought(
    reason: FinishReason, kinds: list[str]
) -> None:
    events = answer(Delta("", (), reasoning="hm"), reason=reason)
    told = whole(ResponseShape(asked(), "r"), events)
    assert [one["type"] for one in told["output"]] == kinds
    pieces = streamed(ResponseShape(asked(), "r"), events)
    assert pieces[-1]["response"]["output"] == told["output"]
    added = [one["item"]["type"] for one in pieces if one["type"] == "response.output_item.added"]
    assert added == kinds


def test_an_answer_without_a_word_is_an_empty_message() -> None:
    events = answer(Delta("", (token(b"", control=True),)))
    told = whole(ResponseShape(asked(), "r"), events)
    assert [one["content"][0]["text"] for one in told["output"]] == [""]
    kinds = [one["type"] for one in streamed(ResponseShape(asked(), "r"), events)]
    assert "response.output_text.delta" not in kinds
    assert kinds.count("response.output_text.done") == 1


def test_log_probs_are_told_with_each_piece_and_at_the_end() -> None:
    top = (TopCandidate(None, b"x", -0.1), TopCandidate(None, b"y", float("-inf")))
    half = token(b"\xc3", -0.2)
    first = Delta("x", (token(b"x", float("-inf"), *top), token(b"", control=True)))
    events = answer(first, Delta("", (half,)), Delta("é", (token(b"\xa9"),)))
    include = {"include": LOGPROBS, "top_logprobs": 2}
    told = whole(ResponseShape(asked(**include), "r"), events)
    logprobs = told["output"][0]["content"][0]["logprobs"]
    assert [one["bytes"] for one in logprobs] == [[120], [0xC3], [0xA9]]
    assert logprobs[0]["logprob"] == -9999.0
    assert [one["token"] for one in logprobs[0]["top_logprobs"]] == ["x"]
    assert told["top_logprobs"] == 2
    pieces = streamed(ResponseShape(asked(**include), "r"), events)
    deltas = [one for one in pieces if one["type"] == "response.output_text.delta"]
    assert [one["delta"] for one in deltas] == ["x", "", "é"]
    assert [token for one in deltas for token in one["logprobs"]] == logprobs
    (done,) = [one for one in pieces if one["type"] == "response.output_text.done"]
    assert done["logprobs"] == logprobs
    without = whole(ResponseShape(asked(), "r"), events)
    assert without["output"][0]["content"][0]["logprobs"] == []


def test_votes_are_told_once_in_a_stream_and_with_a_whole_response() -> None:
    votes = (Vote("a", b"x", -0.1, 0.5, -0.1), Vote("b", b"y", -0.2, 0.5, -0.2))
    events = answer(Delta("x", (token(b"x", -0.7, votes=votes),)))
    asks = {"quorate": {"votes": True}}
    told = whole(ResponseShape(asked(**asks), "r"), events)["quorate"]["votes"]
    assert [one["model"] for one in told[0]["votes"]] == ["a", "b"]
    pieces = streamed(ResponseShape(asked(**asks), "r"), events)
    (delta,) = [one for one in pieces if one["type"] == "response.output_text.delta"]
    assert delta["quorate"]["votes"] == told
    assert "votes" not in pieces[-1]["response"]["quorate"]
    first, last = pieces[0]["response"]["quorate"], pieces[-1]["response"]["quorate"]
    assert [one["weight"] for one in first["members"]] == [0.5, 0.5]
    assert last == {**first, **last} and last["duration_ms"] == 2.0


def test_an_error_in_a_stream_is_an_event_of_the_client_s_own_shape() -> None:
    shape = ResponseShape(asked(), "r")
    begun = streamed(shape, answer(Delta("so", ()))[:2])
    told = shape.as_sent(error_body(Overloaded("full", 0.2), "r"))
    event = ResponseErrorEvent.model_validate(told)
    assert (event.type, event.code, event.message) == ("error", "queue_full", "full")
    assert event.sequence_number == len(begun)
    # The client raises what has an ``error``, as it does in the stream of a chat.
    assert told["error"]["code"] == "queue_full"


def test_what_is_as_long_as_the_answer_is_put_together_beside_the_event_loop() -> None:
    shape = ResponseShape(asked(include=LOGPROBS), "r")
    long: list[str] = []
    for event in answer(Delta("", (), reasoning="hm"), Delta("so", (token(b"so"),))):
        shape.add(0, event, keep=False)
        for piece in shape.pieces(0, event):
            if callable(piece):
                long.append(piece()["type"])
    ends = ["content_part.done", "output_item.done"]
    kinds = ["reasoning_text.done", *ends, "output_text.done", *ends, "completed"]
    assert [one.removeprefix("response.") for one in long] == kinds
