"""Whoever stops listening to a remote frees its connection at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from quorate.errors import DeadlinePassed
from quorate.remotes import BreakerState, Remote, RemoteSettings, RemoteText, Timing
from support.faulty_remote import HOLD, Answer, delta, faulty_remote, refuses, streams
from support.remotes import answered, asked, remote_that


async def test_a_deadline_ends_the_wait_for_the_first_byte_and_closes_the_connection():
    silent = Answer(before=(HOLD,))
    async with remote_that(silent) as (server, remote):
        with pytest.raises(DeadlinePassed):
            await answered(remote, asked(deadline_seconds=0.2))
        await server.client_left()
        assert remote.breaker.state is BreakerState.CLOSED
        assert remote.running == 0


async def test_a_deadline_that_has_passed_sends_nothing():
    async with remote_that() as (server, remote):
        with pytest.raises(DeadlinePassed):
            await answered(remote, asked(deadline_seconds=0.0))
    assert server.requests == []


async def test_closing_the_stream_closes_the_connection_at_once():
    async with remote_that(streams(delta("So"), HOLD)) as (server, remote):
        async with aclosing(remote.generate(asked())) as stream:
            first = await anext(stream)
        await server.client_left()
        assert first == RemoteText("So", 1)
        assert remote.running == 0
        assert (await answered(remote))[0] == "Hello there"


@pytest.mark.parametrize(
    "reply", [Answer(before=(HOLD,)), streams(HOLD), streams(delta("a"), HOLD)]
)
async def test_cancelling_a_request_closes_the_connection_at_once(reply):
    async with remote_that(reply) as (server, remote):
        task = asyncio.create_task(answered(remote))
        await asyncio.wait_for(server.holding.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.client_left()
        assert remote.running == 0
        assert remote.available() is None


async def test_cancelling_during_the_wait_before_a_retry_ends_it():
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with faulty_remote(refuses(500)) as server:
        settings = RemoteSettings(base_url=server.base_url, model="m")
        remote = Remote("far", settings, {}, timing=Timing(sleep=sleep))
        task = asyncio.create_task(answered(remote))
        await asyncio.wait_for(waiting.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await remote.close()
    assert len(server.requests) == 1
