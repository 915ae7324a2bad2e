"""Attacks by whoever connects: without a key, with half a message, or without reading answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from typing import Any

import grpc
from attacks.frame.cases import Target, attack
from attacks.raw_http2 import RawPeer, grpc_message, raw_peer

from quorate.client import Client
from quorate.errors import QuorateError
from quorate.v1 import inference_pb2, plan_pb2

_GENERATE = "/quorate.v1.InferenceService/Generate"
_WATCH_HEALTH = "/grpc.health.v1.Health/Watch"
_LARGE = 15 << 20
_UNFINISHED = 40
_UNREAD = 200
_MANY = 400


def _long(model: str) -> bytes:
    """A request for a long answer of a model."""
    request = inference_pb2.GenerateRequest(
        prompt="x", plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model=model))
    )
    request.stopping.max_tokens = 400
    request.sampling.temperature = 1.0
    return request.SerializeToString()


async def _until_the_end(target: Target, *work: Awaitable[object]) -> int:
    """Lets these go on for as long as the attack may; returns how many had ended by then."""
    tasks = [asyncio.ensure_future(one) for one in work]
    _, running = await asyncio.wait(tasks, timeout=target.seconds)
    for task in running:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return len(tasks) - len(running)


async def _unfinished(target: Target, path: str, token: str) -> str:
    """Sends many large messages but for their last byte, over several connections."""
    message = grpc_message(b"x" * _LARGE, _LARGE + 1)

    async def send(peer: RawPeer) -> None:
        stream = await peer.call(path, token=token, ends=False)
        with suppress(ConnectionError):
            await peer.flood(stream, message)

    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(raw_peer(target.address)) for _ in range(_UNFINISHED)
        ]
        ended = await _until_the_end(target, *(send(peer) for peer in peers))
        sent = sum(peer.sent_bytes for peer in peers) >> 20
    return f"{ended} of {len(peers)} streams were ended; the server took {sent} MiB"


@attack(seconds=8.0)
async def unfinished_messages(target: Target) -> str:
    """Messages of 15 MiB that never end, by somebody without a key."""
    return await _unfinished(target, _GENERATE, "")


@attack(seconds=8.0)
async def unfinished_messages_with_a_key(target: Target) -> str:
    """The same by somebody who has a key."""
    return await _unfinished(target, _GENERATE, target.token)


@attack(seconds=8.0)
async def unfinished_messages_to_health(target: Target) -> str:
    """The same to the health service, which needs no key."""
    return await _unfinished(target, "/grpc.health.v1.Health/Check", "")


@attack(seconds=10.0)
async def unread_streams(target: Target) -> str:
    """Long answers that nobody reads, of both models: all the places there are, and more."""
    async with AsyncExitStack() as stack:
        peers = [
            await stack.enter_async_context(raw_peer(target.address, window=0)) for _ in range(4)
        ]
        for number in range(_UNREAD):
            message = grpc_message(_long(("alpha", "beta")[number % 2]))
            await peers[number % len(peers)].call(_GENERATE, message, target.token)
        await asyncio.sleep(target.seconds)
    return f"{_UNREAD} answers were asked for and not read"


@attack(seconds=8.0)
async def unread_watchers(target: Target) -> str:
    """Watchers of health that take nothing, without a key."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(raw_peer(target.address, window=0))
        for name in ("", "quorate.model/beta", "quorate.v1.InferenceService"):
            wanted = b"\x0a" + bytes([len(name)]) + name.encode()
            for _ in range(100):
                await peer.call(_WATCH_HEALTH, grpc_message(wanted))
        await asyncio.sleep(target.seconds)
    return "300 watchers took nothing"


@attack(seconds=10.0)
async def idle_connections(target: Target) -> str:
    """1,100 connections that say hello and nothing more."""
    host, _, port = target.address.rpartition(":")
    opened, seen = [], Counter[str]()
    for _ in range(1100):
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            await RawPeer(reader, writer).start()
            opened.append(writer)
        except OSError as error:
            seen[type(error).__name__] += 1
    await asyncio.sleep(target.seconds / 2)
    for writer in opened:
        writer.close()
    refused = ", ".join(f"{count} x {name}" for name, count in seen.items())
    return f"{len(opened)} connections were open; {refused or 'none refused'}"


@attack(seconds=12.0)
async def many_requests(target: Target) -> str:
    """400 long requests at once, of the model that the neighbour asks, again and again."""
    told = Counter[str]()

    async def ask(client: Client) -> None:
        while True:
            try:
                await client.complete("x", model="beta", max_tokens=400, temperature=1.0)
                told["OK"] += 1
            except QuorateError as error:
                told[type(error).__name__] += 1
                await asyncio.sleep(0.2)

    async with Client(target.address, token=target.token) as client:
        await _until_the_end(target, *(ask(client) for _ in range(_MANY)))
    return "; ".join(f"{count} x {answer}" for answer, count in told.most_common()) or "no answer"


@attack(seconds=8.0)
async def wrong_keys(target: Target) -> str:
    """Calls with a key that nobody has, as fast as they go."""
    calls = Counter[str]()

    async def ask(channel: grpc.aio.Channel) -> None:
        method: Any = channel.unary_stream(_GENERATE)
        while True:
            try:
                async for _ in method(b"x" * 1000, metadata=(("authorization", "Bearer no"),)):
                    pass
            except grpc.aio.AioRpcError as error:
                calls[error.code().name] += 1

    async with grpc.aio.insecure_channel(target.address) as channel:
        await _until_the_end(target, *(ask(channel) for _ in range(8)))
    return "; ".join(f"{count} x {name}" for name, count in calls.most_common())
