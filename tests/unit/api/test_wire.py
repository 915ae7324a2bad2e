from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.access import limits
from quorate.access.limits import MAX_BIASES, MAX_MESSAGES, MAX_PROMPT_BYTES, MAX_STAGES
from quorate.api.grpc.wire import MOST_FIELDS, check_fields
from quorate.errors import InvalidRequest, PromptTooLong
from quorate.v1 import accounting_pb2, inference_pb2, models_pb2, plan_pb2

Generate = inference_pb2.GenerateRequest


def problem(message: Any, data: bytes | None = None) -> InvalidRequest | None:
    """What is found on the wire of a message, or of these bytes in its place."""
    try:
        check_fields(message.DESCRIPTOR, message.SerializeToString() if data is None else data)
    except InvalidRequest as error:
        return error
    return None


def chat(count: int) -> inference_pb2.GenerateRequest:
    request = Generate()
    for _ in range(count):
        request.chat.messages.add(role="user", content="")
    return request


def cascade(*sizes: int) -> plan_pb2.Plan:
    """A cascade of votes of so many members each."""
    plan = plan_pb2.Plan()
    for size in sizes:
        members = [plan_pb2.Member(model="a", weight=0.5)] * size
        plan.cascade.stages.add(ensemble=plan_pb2.EnsemblePlan(members=members))
    return plan


def test_a_request_with_the_most_of_everything_passes() -> None:
    request = chat(MAX_MESSAGES)
    request.sampling.logit_bias.update(dict.fromkeys(range(MAX_BIASES), -1.0))
    request.stopping.stop.extend(["12345678"] * 1024)
    request.plan.CopyFrom(cascade(*[64] * MAX_STAGES))
    request.request_id = "€" * 128
    request.task = "x" * 64
    assert problem(request) is None
    assert problem(Generate(prompt="x" * MAX_PROMPT_BYTES)) is None


@pytest.mark.parametrize(
    ("message", "field", "said"),
    [
        (Generate(request_id="x" * 513), "request_id", "has 513 bytes; at most 512 are allowed"),
        (Generate(profile="x" * 257), "profile", "has 257 bytes; at most 256 are allowed"),
        (Generate(task="x" * 257), "task", "has 257 bytes"),
        (
            Generate(plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model="x" * 257))),
            "plan.single.model",
            "has 257 bytes",
        ),
        (
            Generate(plan=cascade(*[1] * 17)),
            "plan.cascade.stages",
            "has more than 16 entries; send fewer",
        ),
        (
            Generate(plan=cascade(1, 65)),
            "plan.cascade.stages[1].ensemble.members",
            "has more than 64 entries; send fewer",
        ),
        (chat(MAX_MESSAGES + 1), "chat.messages", "has more than 16384 entries; send fewer"),
        (
            Generate(sampling={"logit_bias": dict.fromkeys(range(MAX_BIASES + 1), 1.0)}),
            "sampling.logit_bias",
            "has more than 32768 entries; send fewer",
        ),
        (
            Generate(stopping={"stop": ["x", "y" * 513]}),
            "stopping.stop[1]",
            "has 513 bytes; at most 512 are allowed",
        ),
        (
            Generate(stopping={"stop": ["x"] * 1025}),
            "stopping.stop",
            "has more than 1024 entries; send fewer",
        ),
        (
            Generate(stopping={"stop": ["x" * 500] * 17}),
            "stopping.stop",
            "has more than 8192 bytes together; send less",
        ),
        (
            inference_pb2.ExplainRequest(request=Generate(profile="x" * 257)),
            "request.profile",
            "has 257 bytes",
        ),
        (models_pb2.LoadModelRequest(model="x" * 257), "model", "has 257 bytes"),
        (accounting_pb2.ListChargesRequest(page_token="1" * 257), "page_token", "has 257 bytes"),
        (
            accounting_pb2.ListChargesRequest(
                filter=accounting_pb2.ChargeFilter(request_id="x" * 513)
            ),
            "filter.request_id",
            "has 513 bytes",
        ),
        (
            accounting_pb2.SummarizeSpendRequest(group_by=[1] * 17),
            "group_by",
            "has more than 16 entries; send fewer",
        ),
    ],
)
def test_what_holds_too_much_is_refused_by_name(message: Any, field: str, said: str) -> None:
    found = problem(message)
    assert found is not None
    assert found.field == field
    assert said in found.problem


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Generate(prompt="x" * (MAX_PROMPT_BYTES + 1)), "prompt"),
        (
            Generate(chat={"messages": [{"content": "x" * (MAX_PROMPT_BYTES // 2)}] * 2}),
            "chat.messages",
        ),
        (inference_pb2.ScoreRequest(continuation="x" * (2**20 + 1)), "continuation"),
    ],
)
def test_a_prompt_that_no_context_holds_is_told_as_such(message: Any, field: str) -> None:
    found = problem(message)
    assert isinstance(found, PromptTooLong)
    assert found.field == field


def test_what_comes_in_pieces_is_counted_together() -> None:
    stops = Generate(stopping={"stop": ["x"] * 700}).SerializeToString()
    biases = Generate(sampling={"logit_bias": dict.fromkeys(range(20_000), 1.0)})
    stages = Generate(plan=cascade(*[1] * 10)).SerializeToString()
    for data, field in (
        (stops * 2, "stopping.stop"),
        (biases.SerializeToString() * 2, "sampling.logit_bias"),
        (stages * 2, "plan.cascade.stages"),
    ):
        assert Generate.FromString(data) is not None
        found = problem(Generate(), data)
        assert found is not None
        assert found.field == field


def test_members_of_different_stages_are_counted_apart() -> None:
    assert problem(Generate(plan=cascade(64, 64))) is None


def test_numbers_in_one_piece_are_counted_too() -> None:
    huge = accounting_pb2.SummarizeSpendRequest(group_by=[2] * 5_000_000)
    found = problem(huge)
    assert found is not None
    assert found.field == "group_by"
    unpacked = b"\x10\x01" * 17
    assert len(accounting_pb2.SummarizeSpendRequest.FromString(unpacked).group_by) == 17
    assert problem(huge, unpacked) is not None


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"\x1a\x00" * (MOST_FIELDS + 1), "chat"),
        (b"\x68\x01" * (MOST_FIELDS + 1), "local_only"),
        (b"\xf8\x7f\x01" * (MOST_FIELDS + 1), "unknown fields"),
        (b"\xa3\x06" * (MOST_FIELDS + 1), "unknown fields"),
    ],
)
def test_what_only_comes_again_and_again_is_counted_too(data: bytes, field: str) -> None:
    found = problem(Generate(), data)
    assert found is not None
    assert found.field == field
    assert "send fewer" in found.problem


@given(st.binary(max_size=300))
def test_what_cannot_be_read_is_left_to_the_parser(data: bytes) -> None:
    found = problem(Generate(), data)
    assert found is None or "bytes; at most" in found.problem


@pytest.mark.parametrize("tail", [b"\x0a\xff", b"\x0f", b"\x0a"])
def test_what_stands_before_something_unreadable_is_counted_all_the_same(tail: bytes) -> None:
    request = Generate(stopping={"stop": ["y" * 513]})
    found = problem(request, request.SerializeToString() + tail)
    assert found is not None
    assert found.field == "stopping.stop[0]"


@pytest.mark.parametrize("size", [1, 127, 128, 20_000, 70_000])
def test_texts_of_every_length_are_passed_over(size: int) -> None:
    request = Generate(prompt="\n" * size)
    request.stopping.stop.append("x")
    assert problem(request) is None


@pytest.mark.parametrize("inside", [b"", b"\x1a\x01\x80", b"\xa3\x06\xa4\x06"])
def test_groups_which_no_message_has_hide_nothing_behind_them(inside: bytes) -> None:
    request = chat(MAX_MESSAGES + 1).SerializeToString()
    hidden = b"\xa3\x06" + inside + b"\xa4\x06" + request
    # The parser takes them for unknown fields.
    assert len(Generate.FromString(hidden).chat.messages) == MAX_MESSAGES + 1
    found = problem(Generate(), hidden)
    assert found is not None
    assert found.field == "chat.messages"


def requests_of(*protos: Any) -> dict[str, Any]:
    """Every message that a caller can send, with those within it, by name."""
    found: dict[str, Any] = {}

    def add(kind: Any) -> None:
        if kind.name in found or kind.GetOptions().map_entry:
            return
        found[kind.name] = kind
        for field in kind.fields:
            if field.message_type is not None:
                add(field.message_type)

    for proto in protos:
        for service in proto.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                add(method.input_type)
    return found


def every_proto() -> list[Any]:
    import importlib
    import pkgutil

    import quorate.v1

    names = [one.name for one in pkgutil.iter_modules(quorate.v1.__path__)]
    return [importlib.import_module(f"quorate.v1.{name}") for name in names if "grpc" not in name]


def test_every_text_and_every_field_that_repeats_has_a_limit_and_no_limit_is_left_over() -> None:
    texts, repeats = set(), set()
    messages = requests_of(*every_proto())
    for name, kind in messages.items():
        for field in kind.fields:
            if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
                texts.add((name, field.name))
            if field.is_repeated:
                repeats.add((name, field.name))
    table = limits.table()
    assert texts == {(row.message, row.field) for row in table if row.bytes is not None}
    assert repeats == {(row.message, row.field) for row in table if row.count is not None}
    known = {(name, field.name) for name, kind in messages.items() for field in kind.fields}
    assert {(row.message, row.field) for row in table} <= known
    assert len(table) == len({(row.message, row.field) for row in table})
