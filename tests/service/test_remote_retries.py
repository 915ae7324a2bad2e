"""What a remote tries again, and how long it waits; the server fails on purpose."""

from __future__ import annotations

import pytest

from quorate.remotes import BreakerState
from support.faulty_remote import (
    CUT,
    DONE,
    HOLD,
    Answer,
    delta,
    event,
    refuses,
    refusing_base_url,
    streams,
)
from support.remotes import answered, asked, failed, opened, remote_that


@pytest.mark.parametrize(
    ("failures", "waits"),
    [
        ([refuses(429, retry_after="3")], [3.5]),
        ([refuses(503, retry_after="2"), refuses(500)], [2.5, 1.0]),
        ([refuses(408), refuses(409)], [0.5, 1.0]),
        ([streams(CUT), streams(delta("", role="assistant"), CUT)], [0.5, 1.0]),
        ([streams(), refuses(502)], [0.5, 1.0]),
        ([streams(event({"error": {"code": 503, "message": "overloaded"}}))], [0.5]),
    ],
)
async def test_what_may_pass_is_tried_again_after_a_growing_wait(failures, waits, hours):
    async with remote_that(*failures, hours=hours) as (server, remote):
        assert (await answered(remote))[0] == "Hello there"
        assert remote.breaker.state is BreakerState.CLOSED
    assert hours.slept == waits
    assert len(server.requests) == len(failures) + 1
    assert all(seen == server.requests[0] for seen in server.requests)


async def test_a_retry_after_that_is_a_date_is_waited_for(hours):
    # 1_700_001_000 seconds after the epoch is where these hours begin.
    refusal = refuses(429, retry_after="Tue, 14 Nov 2023 22:30:10 GMT")
    async with remote_that(refusal, hours=hours) as (_, remote):
        await answered(remote)
    assert hours.slept == [10.5]


@pytest.mark.parametrize("status", [400, 402, 404, 413, 422])
async def test_what_will_not_pass_is_not_tried_again(status, hours):
    refusal = refuses(status, "bad_thing", "the\nthing is bad")
    async with remote_that(refusal, hours=hours) as (server, remote):
        error, texts = await failed(remote)
    assert error.cause.startswith(f"answered HTTP {status} ")
    assert error.cause.endswith(": bad_thing: the thing is bad")
    assert (texts, hours.slept, len(server.requests)) == ([], [], 1)


@pytest.mark.parametrize(
    ("status", "variable", "advice"),
    [
        (401, "BIG_KEY", "answered HTTP 401 Unauthorized; check the key in BIG_KEY"),
        (403, "BIG_KEY", "answered HTTP 403 Forbidden; check the key in BIG_KEY"),
        (401, "", "answered HTTP 401 Unauthorized; it wants a key; set api_key_env"),
    ],
)
async def test_a_key_that_is_refused_is_not_tried_again_and_opens_the_breaker(
    status, variable, advice, hours
):
    refusal = refuses(status, "invalid_api_key", "no")
    async with remote_that(refusal, hours=hours, api_key_env=variable) as (server, remote):
        error, _ = await failed(remote)
        assert remote.available() == f"its circuit breaker is open: {advice}"
    assert (error.cause, hours.slept, len(server.requests)) == (advice, [], 1)


async def test_money_that_is_spent_is_not_asked_for_again_though_it_is_a_429(hours):
    refusal = refuses(429, "insufficient_quota", "You exceeded your current quota")
    async with remote_that(refusal, hours=hours) as (_, remote):
        error, _ = await failed(remote)
        assert remote.breaker.state is BreakerState.OPEN
    assert "insufficient_quota: You exceeded your current quota" in error.cause
    assert hours.slept == []


async def test_the_number_of_retries_is_limited(hours):
    script = [refuses(500)] * 3
    async with remote_that(*script, hours=hours) as (server, remote):
        error, _ = await failed(remote)
    assert error.cause == "answered HTTP 500 Internal Server Error"
    assert (len(server.requests), hours.slept) == (3, [0.5, 1.0])


async def test_no_retry_sleeps_past_the_deadline(hours):
    refusal = refuses(429, retry_after="30")
    async with remote_that(refusal, hours=hours) as (_, remote):
        error, _ = await failed(remote, asked(deadline_seconds=30.2))
    assert hours.slept == []
    assert error.retry_after_seconds == 30.0


async def test_waiting_uses_up_the_deadline(hours):
    script = [refuses(500)] * 9
    async with remote_that(*script, hours=hours, max_retries=9) as (_, remote):
        await failed(remote, asked(deadline_seconds=4.0))
    assert hours.slept == [0.5, 1.0, 2.0]


async def test_silence_before_the_first_byte_is_tried_again(hours):
    silent = Answer(before=(HOLD,))
    async with remote_that(silent, hours=hours, read_timeout_seconds=0.1) as (server, remote):
        assert (await answered(remote))[0] == "Hello there"
        await server.client_left()
    assert hours.slept == [0.5]


async def test_silence_between_two_pieces_ends_the_stream_where_it_is(hours):
    reply = streams(delta("So"), HOLD)
    async with remote_that(reply, hours=hours, read_timeout_seconds=0.1) as (server, remote):
        error, texts = await failed(remote)
        await server.client_left()
    assert error.cause == "sent nothing for 0.1 s"
    assert (texts, hours.slept, len(server.requests)) == (["So"], [], 1)


async def test_a_stream_that_is_cut_fails_after_what_came_and_is_not_tried_again(hours):
    reply = streams(delta("So far"), delta(" so"), CUT)
    async with remote_that(reply, hours=hours) as (server, remote):
        error, texts = await failed(remote)
    assert error.cause.startswith("the connection broke off: ")
    assert (texts, hours.slept, len(server.requests)) == (["So far", " so"], [], 1)


async def test_a_stream_that_just_ends_is_no_answer():
    async with remote_that(streams(delta("So"), DONE)) as (_, remote):
        error, texts = await failed(remote)
    assert error.cause == "the stream ended before the answer did"
    assert texts == ["So"]


async def test_an_address_at_which_nobody_listens_is_named(hours):
    with refusing_base_url() as base_url:
        async with opened(base_url, hours) as remote:
            error, _ = await failed(remote)
    assert error.cause.startswith(f"cannot connect to {base_url.split('/')[2]}: ")
    assert hours.slept == [0.5, 1.0]
