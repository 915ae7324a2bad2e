from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from quorate.access import limits
from quorate.errors import InvalidRequest
from quorate.request import ChatPrompt, ConstraintKind, Message, OutputConstraint
from support.repository import read


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        (limits.request_id, "x" * 128),
        (limits.task, "x" * 64),
        (limits.positive, None),
        (limits.positive, 1),
        (limits.not_negative, None),
        (limits.not_negative, 0.0),
        (limits.epoch_seconds, None),
        (limits.epoch_seconds, -1.0),
        (limits.top_logprobs, 100),
        (limits.stop_strings, ("a", " ")),
        (limits.stop_strings, ("x" * 512,) * 16),
        (limits.stop_strings, ("12345678",) * 1024),
    ],
)
def test_what_can_be_served_passes_as_it_is(limit: Callable[..., Any], value: Any) -> None:
    assert limit("f", value) == value


@pytest.mark.parametrize(
    ("limit", "value", "field", "problem"),
    [
        (limits.request_id, "x" * 129, "f", "is longer than 128 characters"),
        (limits.request_id, "a\nb", "f", "has characters that do not print"),
        (limits.task, "x" * 65, "f", "is longer than 64 characters"),
        (limits.task, "a\tb", "f", "has characters that do not print"),
        (limits.positive, 0, "f", "is 0; set at least 1 or leave it unset"),
        (limits.not_negative, -0.5, "f", "is -0.5; give a finite number that is not negative"),
        (limits.not_negative, math.nan, "f", "is nan; give a finite number that is not negative"),
        (limits.epoch_seconds, math.inf, "f", "is inf; give seconds since 1970"),
        (limits.top_logprobs, 101, "f", "is 101; at most 100 can be shown"),
        (limits.stop_strings, ("a", ""), "f[1]", "is empty; leave it out"),
        (limits.stop_strings, ("\ud800",), "f[0]", "is not valid Unicode text"),
        (limits.chat, [], "f", "is empty; give at least one message"),
        (
            limits.chat,
            [Message("user", "")] * 16_385,
            "f",
            "has more than 16384 messages; send fewer",
        ),
        (limits.stop_strings, ["x"] * 1025, "f", "has more than 1024 strings; send fewer"),
        (
            limits.stop_strings,
            ["a", "é" * 257],
            "f[1]",
            "has 514 bytes; at most 512 are allowed",
        ),
        (
            limits.stop_strings,
            ["x" * 512] * 17,
            "f",
            "has 8704 bytes together; at most 8192 are allowed",
        ),
        (
            limits.chat,
            [Message("user", "x"), Message("", "x")],
            "f[1].role",
            "is empty; set system, user, assistant or tool",
        ),
    ],
)
def test_what_can_never_be_served_is_refused_under_its_callers_name(
    limit: Callable[..., Any], value: Any, field: str, problem: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        limit("f", value)
    assert (refusal.value.field, refusal.value.problem) == (field, problem)


def test_a_text_that_is_empty_is_refused_with_its_remedy() -> None:
    assert limits.filled("f", "x", "write one") == "x"
    with pytest.raises(InvalidRequest, match="f: is empty; write one"):
        limits.filled("f", "", "write one")


@pytest.mark.parametrize("text", ["a", r"a\\", r"a\.", "\\\n"])
def test_a_regular_expression_passes_as_it_is(text: str) -> None:
    held = OutputConstraint(ConstraintKind.REGEX, text)
    assert limits.constraint("f", ConstraintKind.REGEX, text) == held


@pytest.mark.parametrize("text", ["\\", "ab\\", "ab\\\\\\"])
def test_a_regular_expression_that_ends_within_an_escape_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="ends with a lone backslash"):
        limits.constraint("f", ConstraintKind.REGEX, text)
    assert limits.constraint("f", ConstraintKind.GRAMMAR, text).text == text


def test_a_chat_keeps_its_order_and_its_empty_messages() -> None:
    turns = (Message("system", "s"), Message("user", ""))
    assert limits.chat("f", iter(turns)) == ChatPrompt(turns)


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000)])
def test_a_page_has_the_size_that_is_asked_for(asked: int, given: int) -> None:
    assert limits.page_size("page_size", asked) == given


def test_a_page_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at most 1000") as refusal:
        limits.page_size("page_size", 1001)
    assert refusal.value.field == "page_size"


def test_the_document_has_the_whole_table() -> None:
    lines = read("docs/limits.md").splitlines()
    written = [line for line in lines if line.startswith("| `")]
    assert written == [
        f"| `{row.message}.{row.field}` | {number(row.bytes)} | {number(row.count)} | "
        f"{number(row.total_bytes)} | {number(row.highest)} |"
        for row in limits.table()
    ]


def number(most: int | None) -> str:
    return "" if most is None else f"{most:,}"
