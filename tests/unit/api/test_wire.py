from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.access.limits import MAX_BIASES, MAX_MESSAGES
from quorate.api.grpc.wire import CHECKED_BYTES, MOST_FIELDS, check_fields
from quorate.errors import InvalidRequest
from quorate.v1 import inference_pb2

KIND = inference_pb2.GenerateRequest.DESCRIPTOR
# Filler that makes any request long enough to be looked at.
LONG = {"task": "x" * CHECKED_BYTES}


def chat(count: int) -> inference_pb2.GenerateRequest:
    request = inference_pb2.GenerateRequest(**LONG)
    for _ in range(count):
        request.chat.messages.add(role="user", content="")
    return request


def problem(data: bytes) -> tuple[str, str] | None:
    try:
        check_fields(KIND, data)
    except InvalidRequest as error:
        return error.field, error.problem
    return None


def test_a_chat_of_the_most_messages_passes_with_everything_a_request_can_have() -> None:
    request = chat(MAX_MESSAGES)
    request.sampling.logit_bias.update(dict.fromkeys(range(1000), -1.0))
    request.stopping.stop.extend(["\n"] * 100)
    request.plan.ensemble.members.add(model="a", weight=0.5)
    assert problem(request.SerializeToString()) is None


def test_messages_beyond_any_context_are_refused_by_name() -> None:
    found = problem(chat(MOST_FIELDS).SerializeToString())
    assert found is not None
    assert found[0] == "chat.messages"
    assert f"more than {MOST_FIELDS} in one request; send fewer" in found[1]


def test_siblings_are_counted_too() -> None:
    stops = inference_pb2.GenerateRequest(**LONG)
    stops.stopping.stop.extend([""] * MOST_FIELDS)
    again = b"\x1a\x00" * CHECKED_BYTES
    unknown = b"\xf8\x7f\x01" * CHECKED_BYTES
    for data, field in (
        (stops.SerializeToString(), "stopping.stop"),
        (again, "chat"),
        (unknown, "unknown fields"),
    ):
        found = problem(data)
        assert found is not None
        assert found[0] == field


def test_as_many_biases_pass_as_a_vocabulary_has_tokens() -> None:
    request = inference_pb2.GenerateRequest(prompt="x")
    request.sampling.logit_bias.update(dict.fromkeys(range(MAX_BIASES), 0.5))
    assert problem(request.SerializeToString()) is None
    request.sampling.logit_bias[MAX_BIASES] = 0.5
    found = problem(request.SerializeToString())
    assert found is not None
    assert found[0] == "sampling.logit_bias"


def test_a_short_request_is_left_to_the_parser() -> None:
    assert problem(b"\x1a\x00" * (CHECKED_BYTES // 2)) is None


@given(st.binary(max_size=300))
def test_what_cannot_be_read_is_left_to_the_parser(data: bytes) -> None:
    assert problem(data + b"\x07" * CHECKED_BYTES) is None


@pytest.mark.parametrize("size", [1, 127, 128, 20_000, CHECKED_BYTES])
def test_texts_of_every_length_are_passed_over(size: int) -> None:
    request = inference_pb2.GenerateRequest(prompt="\n" * size, **LONG)
    request.stopping.stop.append("x")
    assert problem(request.SerializeToString()) is None


@pytest.mark.parametrize("inside", [b"", b"\x1a\x01\x80", b"\xa3\x06\xa4\x06"])
def test_groups_which_no_message_has_hide_nothing_behind_them(inside: bytes) -> None:
    request = chat(MOST_FIELDS).SerializeToString()
    hidden = b"\xa3\x06" + inside + b"\xa4\x06" + request
    # The parser takes them for unknown fields.
    assert len(inference_pb2.GenerateRequest.FromString(hidden).chat.messages) == MOST_FIELDS
    assert problem(hidden) == problem(request)
    groups = b"\xa3\x06" * CHECKED_BYTES
    found = problem(groups)
    assert found is not None
    assert found[0] == "unknown fields"
