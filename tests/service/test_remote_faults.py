"""Answers of a remote that are none: each is told in one line that is safe to show."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from quorate.remotes import BreakerState, RemoteUsage
from quorate.request import FinishReason
from support.faulty_remote import (
    CUT,
    HOLD,
    REPEAT,
    Answer,
    delta,
    event,
    faulty_remote,
    refuses,
    says,
    streams,
)
from support.remotes import KEY, QUESTION, answered, asked, failed, remote_that


async def test_an_answer_that_is_whole_survives_a_cut_before_its_count():
    reply = streams(delta("Yes"), delta(finish="stop"), CUT)
    async with remote_that(reply) as (_, remote):
        text, end = await answered(remote)
    assert (text, end.usage, end.streamed_tokens) == ("Yes", RemoteUsage(), 1)


JSON_TYPE = {"content-type": "application/json"}


def json_answer(value: Any) -> Answer:
    """A whole JSON value instead of a stream."""
    return Answer((json.dumps(value).encode(),), headers=JSON_TYPE)


HUGE = b'data: {"choices":[{"delta":{"content":"' + b"x" * 600_000
WRONG_ANSWERS = {
    "no JSON": (streams(b"data: {otter\n\n"), "sent an event that is not JSON"),
    "no UTF-8": (streams(b'data: {"a": "\xff"}\n\n'), "sent an event that is not JSON"),
    "deep JSON": (streams(b"data: " + b"[" * 200_000 + b"\n\n"), "sent an event that is not JSON"),
    "no object": (streams(event([1])), "sent an event that is no JSON object"),
    "odd choice": (streams(event({"choices": ["otter"]})), "sent a choice that is no JSON object"),
    "odd delta": (
        streams(event({"choices": [{"delta": "otter"}]})),
        "sent a delta that is no JSON object",
    ),
    "odd text": (
        streams(event({"choices": [{"delta": {"content": 5}}]})),
        "sent text that is no JSON string",
    ),
    "HTML": (
        Answer((b"<html>otter</html>",), headers={"content-type": "text/html; charset=utf-8"}),
        "answered with text/html instead of an event stream; is base_url right?",
    ),
    "no type": (
        Answer((b"otter",), headers={"content-type": ""}),
        "answered with something instead of an event stream; is base_url right?",
    ),
    "huge event": (
        streams(HUGE, HUGE[-600_000:], HOLD),
        "sent an event of more than 1048576 bytes",
    ),
    "compressed": (
        Answer((b"\x1f\x8b",), headers={"content-encoding": "gzip"}),
        "sent a compressed answer",
    ),
    "an error in the stream": (
        streams(event({"error": {"message": "the engine\x1b[31m failed", "type": "server"}})),
        "sent an error in its stream: the engine [31m failed",
    ),
    "a filter": (
        streams(delta(finish="content_filter")),
        "its content filter ended the answer",
    ),
    "a fault": (streams(delta(finish="error")), "ended the answer with error"),
    "an error by name": (
        streams(b"event: error\ndata: out of memory\n\n"),
        "sent an error in its stream: out of memory",
    ),
    "an error by type": (
        streams(event({"type": "error", "error": {"message": "no luck"}})),
        "sent an error in its stream: no luck",
    ),
    "no money in a 200": (
        json_answer(
            {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
        ),
        "answered HTTP 200 with an error: insufficient_quota: You exceeded your quota",
    ),
    "an error as text in a 200": (
        json_answer({"error": "no such user"}),
        "answered HTTP 200 with an error: no such user",
    ),
    "a detail in a 200": (
        json_answer({"detail": "Not Found"}),
        "answered HTTP 200 with an error: Not Found",
    ),
    "an endless comment": (
        streams(b": " + b"x" * 600_000, b"x" * 600_000, HOLD),
        "sent an event of more than 1048576 bytes",
    ),
    "endless fields": (
        streams(b"id: " + b"7\nid: " * 40_000, REPEAT),
        "sent more than 262144 bytes that say nothing",
    ),
    "a huge error in a 200": (
        Answer((b'{"error": "' + b"x" * 600_000, REPEAT), headers=JSON_TYPE),
        "sent an answer of more than 1048576 bytes in one piece",
    ),
    "endless blank lines": (
        streams(b"\n" * 500_000, REPEAT),
        "sent more than 262144 bytes that say nothing",
    ),
}


@pytest.mark.parametrize("fault", WRONG_ANSWERS)
async def test_an_answer_that_is_none_is_told_in_one_line(fault, hours):
    reply, told = WRONG_ANSWERS[fault]
    async with remote_that(reply, hours=hours) as (server, remote):
        error, texts = await failed(remote)
    assert error.cause == told
    assert (texts, hours.slept, len(server.requests)) == ([], [], 1)


REFUSALS = {
    "an error page": (
        Answer((b"<html>" + QUESTION.encode() * 5000,), 502, {"content-type": "text/html"}),
        "answered HTTP 502 Bad Gateway",
    ),
    "the prompt repeated": (
        refuses(400, "invalid", f"Invalid prompt: '{QUESTION}'"),
        "answered HTTP 400 Bad Request: invalid",
    ),
    "the prompt spaced": (
        refuses(400, "invalid", "Where did   the\nsecretive otter hide"),
        "answered HTTP 400 Bad Request: invalid",
    ),
    "the key repeated": (
        refuses(400, "invalid", f"Incorrect API key provided: {KEY[:7]}***"),
        "answered HTTP 400 Bad Request: invalid",
    ),
    "a long message": (
        refuses(400, "", "word " * 100),
        f"answered HTTP 400 Bad Request: {'word ' * 23}word…",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_is_quoted_as_far_as_it_is_short_and_tells_no_secret(refusal):
    reply, told = REFUSALS[refusal]
    async with remote_that(reply, max_retries=0) as (_, remote):
        error, _ = await failed(remote)
    assert error.cause == told


async def test_an_error_page_without_end_is_left():
    page = Answer((b"<html>" * 1000, REPEAT), 503, {"content-type": "text/html"})
    async with remote_that(page, max_retries=0) as (server, remote):
        error, _ = await failed(remote)
        await server.client_left()
    assert error.cause == "answered HTTP 503 Service Unavailable"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_refused_and_opens_the_breaker(status):
    async with faulty_remote() as other:
        moved = Answer((), status, {"location": f"{other.base_url}/chat/completions"})
        async with remote_that(moved) as (_, remote):
            error, _ = await failed(remote)
            assert remote.breaker.state is BreakerState.OPEN
        assert other.requests == []
    assert error.cause.startswith(f"redirects elsewhere (HTTP {status}), which is refused")


async def test_an_endless_stream_is_cut_soon_after_the_limit():
    reply = streams(delta("on"), REPEAT)
    async with remote_that(reply) as (server, remote):
        text, end = await answered(remote, asked(max_tokens=10))
        await server.client_left()
    # It plainly does not keep to its limit, so that what came is estimated beyond it.
    assert (end.finish_reason, end.streamed_tokens) == (FinishReason.MAX_TOKENS, 209)
    assert text == "on" * 208


async def test_an_endless_stream_without_text_is_cut():
    reply = streams(delta(role="assistant"), REPEAT)
    async with remote_that(reply) as (server, remote):
        error, _ = await failed(remote)
        await server.client_left()
    assert error.cause == "sends events without end and without text"


async def test_headers_without_end_are_left():
    headers = {f"x-{number}": "x" * 1000 for number in range(200)}
    async with remote_that(Answer((), headers=headers), max_retries=0) as (_, remote):
        error, _ = await failed(remote)
    assert error.cause.startswith("the connection broke off: ")


async def test_an_endless_stream_after_the_end_is_left():
    reply = streams(delta("Yes"), delta(finish="stop"), REPEAT)
    async with remote_that(reply) as (server, remote):
        text, end = await answered(remote)
        await server.client_left()
    assert (text, end.finish_reason) == ("Yes", FinishReason.END_OF_GENERATION)


async def test_neither_key_nor_prompt_is_in_the_log_or_in_any_repr(caplog):
    caplog.set_level(logging.DEBUG)
    async with remote_that(refuses(401, "bad", KEY), says("Hi")) as (_, remote):
        error, _ = await failed(remote)
        parts = [one for one in (remote, *vars(remote).values()) if hasattr(one, "__dict__")]
        shown = [*(repr(vars(part)) for part in parts), repr(remote.settings), repr(error)]
        shown += [str(error.__cause__), str(error.__context__)]
    for text in (*shown, caplog.text):
        assert KEY not in text
    assert QUESTION not in caplog.text
