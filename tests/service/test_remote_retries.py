"""What a remote tries again, and how long it waits; the server fails on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from quorate.remotes import BreakerState, FailedCall
from support.faulty_remote import (
    CUT,
    DONE,
    HOLD,
    REPEAT,
    Answer,
    delta,
    event,
    refuses,
    refusing_base_url,
    streams,
)
from support.remotes import answered, asked, failed, opened, remote_that


def noted_in(failures: list[FailedCall]) -> Callable[[FailedCall], Awaitable[bool]]:
    """Notes each call that failed, and allows another."""

    async def note(call: FailedCall) -> bool:
        failures.append(call)
        return True

    return note


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


@pytest.mark.parametrize("refusal", [refuses(429, retry_after="30"), refuses(500)])
async def test_no_retry_begins_after_the_time_that_the_request_has(refusal, hours):
    async with remote_that(refusal, hours=hours) as (server, remote):
        error, _ = await failed(remote, asked(retry_seconds=0.3))
    assert (hours.slept, len(server.requests)) == ([], 1)
    assert error.cause.startswith("answered HTTP ")


async def test_a_call_itself_may_take_longer_than_the_time_for_retries(hours):
    async with remote_that(hours=hours) as (_, remote):
        assert (await answered(remote, asked(retry_seconds=0.0)))[0] == "Hello there"


@pytest.mark.parametrize("status", [408, 504, 524])
async def test_a_time_out_that_a_gateway_tells_may_be_charged_for(status, hours):
    failures: list[FailedCall] = []
    async with remote_that(refuses(status), hours=hours) as (_, remote):
        await answered(remote, asked(on_failed=noted_in(failures)))
    assert [(call.free, call.again) for call in failures] == [(False, True)]


@pytest.mark.parametrize(
    ("reply", "free"),
    [
        (refuses(500), True),
        (refuses(429), True),
        (streams(event({"error": {"message": "overloaded"}})), True),
        (streams(CUT), False),
        (streams(), False),
        (streams(b"data: {no\n\n"), False),
        (streams(delta("So"), event({"error": {"message": "overloaded"}})), False),
    ],
)
async def test_what_a_failed_call_may_cost_is_told(reply, free):
    failures: list[FailedCall] = []
    async with remote_that(reply, max_retries=0) as (_, remote):
        await failed(remote, asked(on_failed=noted_in(failures)))
    assert [(call.free, call.again) for call in failures] == [(free, False)]


async def test_nothing_may_be_charged_for_where_nothing_was_sent(hours):
    failures, sent = [], []
    with refusing_base_url() as base_url:
        async with opened(base_url, hours, max_retries=0) as remote:
            request = asked(on_failed=noted_in(failures), on_sent=lambda: sent.append(1))
            await failed(remote, request)
    assert ([call.free for call in failures], sent) == ([True], [])


async def test_whoever_pays_may_forbid_another_call(hours):
    async def never(call: FailedCall) -> bool:
        return False

    async with remote_that(streams(CUT), hours=hours) as (server, remote):
        error, _ = await failed(remote, asked(on_failed=never))
    assert error.cause.endswith("; another try has no room in the budget")
    assert (hours.slept, len(server.requests)) == ([], 1)


async def test_waiting_uses_up_the_deadline(hours):
    script = [refuses(500)] * 9
    async with remote_that(*script, hours=hours, max_retries=9) as (_, remote):
        await failed(remote, asked(deadline_seconds=4.0))
    assert hours.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("noise", [b": ping\n\n", b"\n", b"event: ping\n\n"])
async def test_noise_without_an_answer_is_silence(noise, hours):
    limits = {"first_event_timeout_seconds": 0.3, "max_retries": 0}
    async with remote_that(streams(noise, REPEAT), hours=hours, **limits) as (server, remote):
        error, _ = await failed(remote)
        await server.client_left()
    assert error.cause == "sent nothing of an answer for 0.3 s"


async def test_noise_between_two_pieces_is_silence(hours):
    reply = streams(delta("So"), b": ping\n\n", REPEAT)
    async with remote_that(reply, hours=hours, progress_timeout_seconds=0.3) as (server, remote):
        error, texts = await failed(remote)
        await server.client_left()
    assert (error.cause, texts) == ("sent nothing of the answer for 0.3 s", ["So"])


async def test_an_answer_that_crawls_is_left(hours):
    limits = {"progress_timeout_seconds": 0.3, "min_tokens_per_second": 1000.0}
    reply = streams(delta("So"), HOLD, delta(" far"), HOLD)
    async with remote_that(reply, hours=hours, **limits) as (server, remote):
        reading = asyncio.create_task(failed(remote))
        await asyncio.wait_for(server.holding.wait(), 20)
        server.go_on.set()
        server.go_on.clear()
        error, _ = await reading
        await server.client_left()
    assert error.cause in ("sends fewer than 1000 tokens per second", "sent nothing for 0.3 s")


async def test_a_reader_that_is_slow_is_not_the_remotes_fault(hours):
    reply = streams(*[delta("So")] * 3, delta(finish="stop"), DONE)
    limits = {"progress_timeout_seconds": 0.2, "min_tokens_per_second": 100.0}
    async with remote_that(reply, hours=hours, **limits) as (_, remote):
        texts = []
        async for item in remote.generate(asked()):
            texts.append(getattr(item, "text", "THE END"))
            # The time that passes here is the reader's own.
            time.sleep(0.15)
    assert texts == ["So", "So", "So", "THE END"]


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
