"""Answers of a remote that are none: each is told in one line that is safe to show."""

from __future__ import annotations

import logging

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


HUGE = b'data: {"choices":[{"delta":{"content":"' + b"x" * 600_000
WRONG_ANSWERS = {
    "no JSON": (streams(b"data: {otter\n\n"), "sent an event that is not JSON"),
    "no UTF-8": (streams(b'data: {"a": "\xff"}\n\n'), "sent an event that is not JSON"),
    "deep JSON": (streams(b"data: " + b"[" * 200_000 + b"\n\n"), "sent an event that is not JSON"),
    "no object": (streams(event([1])), "sent an event that is no JSON object"),
    "no choices": (streams(event({"otter": 1})), "sent an event without choices"),
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
    "a tool": (
        streams(delta(finish="tool_calls")),
        "ended the answer for a reason that is not known here tool_calls",
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
    assert (end.finish_reason, end.streamed_tokens) == (FinishReason.MAX_TOKENS, 10)
    assert text == "on" * 14


async def test_an_endless_stream_without_text_is_cut():
    reply = streams(delta(role="assistant"), REPEAT)
    async with remote_that(reply) as (server, remote):
        error, _ = await failed(remote)
        await server.client_left()
    assert error.cause == "sends events without end and without text"


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
