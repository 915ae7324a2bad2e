"""When a remote is left alone: its circuit breaker and its limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from quorate.remotes import BreakerPolicy, BreakerState
from support.faulty_remote import DONE, HOLD, Answer, delta, refuses, streams
from support.remotes import answered, failed, remote_that


async def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it(hours):
    policy = BreakerPolicy(consecutive_failures=2, open_seconds=5.0)
    script = [refuses(500), refuses(500), streams(delta("Yes"), HOLD, delta(finish="stop"), DONE)]
    async with remote_that(*script, hours=hours, policy=policy, max_retries=0) as (server, remote):
        await failed(remote)
        assert remote.available() is None
        await failed(remote)
        assert remote.available() == (
            "its circuit breaker is open: answered HTTP 500 Internal Server Error"
        )
        refusal, _ = await failed(remote)
        assert refusal.retry_after_seconds == 5.0
        assert len(server.requests) == 2

        hours.now += 5.0
        assert remote.available() is None
        probe = asyncio.create_task(answered(remote))
        await asyncio.wait_for(server.holding.wait(), 20)
        assert (remote.available() or "").startswith("its circuit breaker is half_open: ")
        await failed(remote)
        assert len(server.requests) == 3
        server.go_on.set()
        assert (await probe)[0] == "Yes"
        assert remote.breaker.state is BreakerState.CLOSED


async def test_a_quota_closes_the_door_until_the_reset_that_was_named(hours):
    refusal = refuses(429, "rate_limit", "slow down", retry_after="120")
    async with remote_that(refusal, hours=hours) as (_, remote):
        error, _ = await failed(remote)
        assert error.retry_after_seconds == 120.0
        hours.now += 119.0
        assert "open: answered HTTP 429 Too Many Requests: rate_limit: slow down" in (
            remote.available() or ""
        )
        hours.now += 1.0
        assert (await answered(remote))[0] == "Hello there"
    assert hours.slept == []


@pytest.mark.parametrize("refusal", [refuses(429, retry_after="3"), refuses(503, retry_after="3")])
async def test_a_rest_that_one_request_is_asked_for_is_kept_by_all(refusal, hours):
    sleeping, awake = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        sleeping.set()
        await awake.wait()
        hours.now += seconds

    hours.timing = replace(hours.timing, sleep=sleep)
    async with remote_that(refusal, hours=hours) as (server, remote):
        first = asyncio.create_task(answered(remote))
        await asyncio.wait_for(sleeping.wait(), 20)
        assert (remote.available() or "").startswith("it wants to rest for 3 s: answered HTTP ")
        error, _ = await failed(remote)
        assert error.retry_after_seconds == 3.0
        assert len(server.requests) == 1
        awake.set()
        assert (await first)[0] == "Hello there"
        assert remote.available() is None


async def test_who_waits_for_a_retry_waits_for_what_others_were_told_as_well(hours):
    script = [refuses(429, retry_after="1"), refuses(429, retry_after="9")]
    sleeps: list[float] = []
    both, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        until = hours.now + seconds
        if len(sleeps) == 2:
            both.set()
        await go_on.wait()
        hours.now = max(hours.now, until)

    hours.timing = replace(hours.timing, sleep=sleep)
    async with remote_that(*script, hours=hours) as (_, remote):
        tasks = [asyncio.create_task(answered(remote)) for _ in range(2)]
        await asyncio.wait_for(both.wait(), 20)
        assert remote.cooldown.seconds == 9.0
        go_on.set()
        assert [text for text, _ in await asyncio.gather(*tasks)] == ["Hello there"] * 2
    assert sorted(sleeps[:2]) == [1.5, 9.5]


async def test_a_model_that_is_not_there_is_not_asked_for_again(hours):
    refusal = refuses(404, "model_not_found", "The model `big` does not exist")
    async with remote_that(refusal, hours=hours) as (server, remote):
        error, _ = await failed(remote)
        assert remote.breaker.state is BreakerState.OPEN
        await failed(remote)
    said = "answered HTTP 404 Not Found: model_not_found: The model `big` does not exist"
    assert (error.cause, len(server.requests), hours.slept) == (said, 1, [])


async def test_a_wrong_request_says_nothing_about_the_remote():
    script = [refuses(status) for status in (400, 404, 422) for _ in range(4)]
    policy = BreakerPolicy(consecutive_failures=2)
    async with remote_that(*script, policy=policy) as (_, remote):
        for _ in script:
            await failed(remote)
        assert remote.available() is None


async def test_a_probe_that_is_cancelled_makes_room_for_another(hours):
    policy = BreakerPolicy(consecutive_failures=1, open_seconds=5.0)
    script = [refuses(500), Answer(before=(HOLD,))]
    async with remote_that(*script, hours=hours, policy=policy, max_retries=0) as (server, remote):
        await failed(remote)
        hours.now += 5.0
        probe = asyncio.create_task(answered(remote))
        await asyncio.wait_for(server.holding.wait(), 20)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert remote.breaker.state is BreakerState.HALF_OPEN
        assert (await answered(remote))[0] == "Hello there"


async def test_requests_beyond_the_limit_are_refused():
    held = streams(HOLD, delta("a"), delta(finish="stop"), DONE)
    async with remote_that(held, held, max_concurrent=2) as (server, remote):
        tasks = [asyncio.create_task(answered(remote)) for _ in range(2)]
        async with asyncio.timeout(20):
            while len(server.requests) < 2:
                server.holding.clear()
                await server.holding.wait()
        assert remote.running == 2
        assert remote.available() == "2 requests run, which is its limit"
        error, _ = await failed(remote)
        assert error.cause == "2 requests run, which is its limit"
        server.go_on.set()
        assert [text for text, _ in await asyncio.gather(*tasks)] == ["a", "a"]
        assert remote.available() is None


async def test_a_closed_remote_refuses():
    async with remote_that() as (server, remote):
        await remote.close()
        error, _ = await failed(remote)
    assert error.cause == "it is closed"
    assert server.requests == []


async def test_closing_a_remote_fails_the_streams_that_run():
    async with remote_that(streams(delta("So"), HOLD)) as (server, remote):
        task = asyncio.create_task(failed(remote))
        await asyncio.wait_for(server.holding.wait(), 20)
        await remote.close()
        await server.client_left()
        _, texts = await task
    assert texts == ["So"]


async def test_nothing_of_the_answer_is_lost_in_many_streams_at_once():
    async with remote_that(max_concurrent=50) as (server, remote):
        answers = await asyncio.gather(*(answered(remote) for _ in range(50)))
    assert {text for text, _ in answers} == {"Hello there"}
    assert len(server.requests) == 50
