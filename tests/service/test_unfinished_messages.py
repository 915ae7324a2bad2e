"""Messages that never end, connections that never say anything: what they cost, and whom."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from attacks.raw_http2 import RawPeer, grpc_message, raw_peer, trailers

from quorate.access.keys import KeyRing, KeySettings
from quorate.client import Client
from support.dispatching import until
from support.fake_dispatch import FakeDispatcher, answer
from support.service import Service, fake_service

GENERATE = "/quorate.v1.InferenceService/Generate"
HEALTH = "/grpc.health.v1.Health/Check"
LARGE = 4 << 20
BEGUN = grpc_message(b"x" * LARGE, LARGE + 1)
WINDOW = 64 * 1024
"""What a stream may send before it knows of our settings."""

TOKENS = {"alice": "token-of-alice", "mallory": "token-of-mallory"}


def key_ring() -> KeyRing:
    return KeyRing(
        {
            name: KeySettings(sha256=hashlib.sha256(token.encode()).hexdigest())
            for name, token in TOKENS.items()
        }
    )


@asynccontextmanager
async def flooded(
    service: Service, path: str, peers: int, token: str = ""
) -> AsyncIterator[Sequence[RawPeer]]:
    """So many peers each send a large message but for its end, until the context ends."""
    async with AsyncExitStack() as stack:
        raw = [await stack.enter_async_context(raw_peer(service.target)) for _ in range(peers)]

        async def flood(peer: RawPeer) -> None:
            with suppress(ConnectionError):
                await peer.flood(await peer.call(path, token=token, ends=False), BEGUN)

        tasks = [asyncio.create_task(flood(peer)) for peer in raw]
        try:
            yield raw
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_without_a_key_nothing_of_a_message_is_taken_in() -> None:
    async with fake_service(FakeDispatcher(answer), keys=key_ring()) as service:
        async with raw_peer(service.target) as peer:
            stream = await peer.call(GENERATE, ends=False)
            frames = await asyncio.wait_for(peer.rest(stream), 30)
        # Not a byte of a message was needed.
        assert b"grpc-status\x0216" in trailers(frames)
        async with flooded(service, GENERATE, 20) as peers:
            async with Client(service.target, token=TOKENS["alice"]) as client:
                assert await client.complete("x", model="a", timeout=30) == "hello world"
            assert max(peer.sent_bytes for peer in peers) <= 2 * WINDOW


@pytest.mark.parametrize(("path", "token"), [(GENERATE, TOKENS["mallory"]), (HEALTH, "")])
async def test_of_one_caller_few_unfinished_messages_are_taken_in_and_nobody_waits(
    path: str, token: str
) -> None:
    async with (
        fake_service(FakeDispatcher(answer), keys=key_ring()) as service,
        AsyncExitStack() as stack,
    ):
        connections = 1 if token else 12
        peers: list[RawPeer] = []
        for _ in range(12 // connections):
            flood = flooded(service, path, connections, token)
            peers += await stack.enter_async_context(flood)
        await until(lambda: sum(peer.sent_bytes > LARGE for peer in peers) >= 1)
        async with Client(service.target, token=TOKENS["alice"]) as client:
            for _ in range(3):
                assert await client.complete("x", model="a", timeout=30) == "hello world"
                assert await client.healthy()


async def test_a_message_that_does_not_arrive_is_given_up() -> None:
    async with (
        fake_service(FakeDispatcher(answer), receive_seconds=0.1) as service,
        raw_peer(service.target) as peer,
    ):
        stream = await peer.call(GENERATE, grpc_message(b"x", 100), ends=False)
        frames = await asyncio.wait_for(peer.rest(stream), 30)
    assert b"grpc-status\x0210" in trailers(frames)
    assert b"had not come to its end after 0.1 s" in trailers(frames)


async def test_a_message_above_the_limit_is_refused_by_its_prefix() -> None:
    async with (
        fake_service(FakeDispatcher(answer), max_message_bytes=100_000) as service,
        raw_peer(service.target) as peer,
    ):
        stream = await peer.call(GENERATE, grpc_message(b"x", 100_001), ends=False)
        frames = await asyncio.wait_for(peer.rest(stream), 30)
    assert b"grpc-status\x018" in trailers(frames)


async def test_a_call_without_a_message_is_told_so() -> None:
    async with fake_service(FakeDispatcher(answer)) as service, raw_peer(service.target) as peer:
        frames = await asyncio.wait_for(peer.rest(await peer.call(GENERATE)), 30)
    assert b"grpc-status\x013" in trailers(frames)
    assert b"the call ended without a message" in trailers(frames)


async def test_idle_connections_make_room_for_those_who_call() -> None:
    async with (
        fake_service(FakeDispatcher(answer), max_connections=40) as service,
        AsyncExitStack() as stack,
    ):
        steady = await stack.enter_async_context(Client(service.target))
        assert await steady.complete("x", model="a") == "hello world"
        for _ in range(60):
            with suppress(ConnectionError):
                await stack.enter_async_context(raw_peer(service.target))
        assert await steady.complete("x", model="a") == "hello world"

        async def come() -> bool:
            async with Client(service.target) as client:
                return await client.healthy()

        async with asyncio.timeout(30):
            while True:
                with suppress(Exception):
                    if await come():
                        break
        assert await steady.complete("x", model="a") == "hello world"


async def test_a_connection_on_which_only_a_stalled_reader_is_left_is_closed() -> None:
    async with (
        fake_service(FakeDispatcher(answer), stall_seconds=0.2) as service,
        raw_peer(service.target, window=0) as peer,
    ):
        await peer.call(HEALTH, grpc_message(b""))

        async def until_closed() -> None:
            while await peer.frame() is not None:
                pass

        await asyncio.wait_for(until_closed(), 30)


async def test_one_caller_has_so_many_calls_open_and_no_more() -> None:
    async with (
        fake_service(FakeDispatcher(answer), max_calls=3) as service,
        raw_peer(service.target) as peer,
        service.client() as client,
    ):
        for _ in range(3):
            await peer.call(GENERATE, ends=False)
        stream = await peer.call(GENERATE, ends=False)
        frames = await asyncio.wait_for(peer.rest(stream), 30)
        # Of this machine each connection counts alone.
        assert await client.complete("x", model="a") == "hello world"
    assert b"grpc-status\x018" in trailers(frames)
    assert b"this caller has 3 calls open" in trailers(frames)
