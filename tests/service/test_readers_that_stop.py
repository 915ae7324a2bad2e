"""Peers that take nothing, and what they hold meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import pytest
from attacks.raw_http2 import DATA, RawPeer, grpc_message, raw_peer, trailers
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from quorate.dispatch import DispatchSettings
from quorate.fleet.status import ModelState
from quorate.request import Event, Request
from quorate.v1 import inference_pb2, models_pb2, models_pb2_grpc, plan_pb2
from support.dispatching import until
from support.fake_dispatch import FakeDispatcher, accepted, delta, endless
from support.service import fake_service, scripted_service
from support.streams import refused

INFERENCE, MODELS = "/quorate.v1.InferenceService", "/quorate.v1.ModelService"
LONG = inference_pb2.GenerateRequest(
    prompt="x",
    plan=plan_pb2.Plan(single=plan_pb2.SinglePlan(model="alpha")),
    stopping=inference_pb2.StoppingOptions(max_tokens=400),
    sampling=inference_pb2.SamplingOptions(temperature=1.0),
    response=inference_pb2.ResponseOptions(top_logprobs=20),
)
ENDLESS = {"alpha": {"say": "", "seed": 1, "context_length": 512, "cells": 512, "sessions": 2}}


async def asked(peer: RawPeer, path: str, message: Message) -> int:
    return await peer.call(path, grpc_message(message.SerializeToString()))


async def test_a_reader_that_stops_loses_its_answer_and_is_told_why_once_it_reads() -> None:
    dispatcher = FakeDispatcher(endless)
    async with (
        fake_service(dispatcher, stall_seconds=0.1) as service,
        raw_peer(service.target, window=0) as peer,
    ):
        stream = await asked(peer, f"{INFERENCE}/Generate", LONG)
        await asyncio.wait_for(dispatcher.closed.wait(), 30)
        assert dispatcher.running == 0
        await peer.open_window(stream)
        frames = await asyncio.wait_for(peer.rest(stream), 30)
    # What was stuck is whole, and then comes the end.
    assert [frame.kind for frame in frames].count(DATA) == 1
    assert b"grpc-status\x0210" in trailers(frames)
    assert b"its reader took nothing of it for 0.1 s" in trailers(frames)


async def test_a_reader_that_is_slow_and_does_not_stop_keeps_its_answer() -> None:
    async def long(request: Request) -> AsyncIterator[Event]:
        yield accepted(request)
        for _ in range(8):
            yield delta("word " * 40)

    async with (
        fake_service(FakeDispatcher(long), stall_seconds=5.0) as service,
        raw_peer(service.target, window=64) as peer,
    ):
        stream = await asked(peer, f"{INFERENCE}/Generate", LONG)
        frames = []
        # It takes the next bytes when it has read the last ones.
        while not frames or not frames[-1].ends_stream:
            frame = await asyncio.wait_for(peer.frame(), 30)
            assert frame is not None
            if frame.stream == stream:
                frames.append(frame)
                await peer.open_window(stream, 64)
    assert b"grpc-status\x010" in trailers(frames)


@pytest.mark.parametrize("generate", [False, True])
async def test_what_a_stalled_reader_held_goes_to_the_next_request_and_unloading_ends(
    generate: bool,
) -> None:
    """One stream that nobody reads held all KV tokens, the one place, and the model."""
    limits = DispatchSettings(max_running=1, max_waiting=4)
    models = {"alpha": {**ENDLESS["alpha"], "generate": generate}}
    async with (
        scripted_service(models, limits=limits, stall_seconds=0.2) as service,
        raw_peer(service.target, window=0) as peer,
        service.client() as client,
    ):
        await asked(peer, f"{INFERENCE}/Generate", LONG)
        await until(lambda: service.dispatcher.running)
        answer = await client.complete("x", model="alpha", max_tokens=300, timeout=30)
        assert answer
        assert (await client.unload("alpha")).state == models_pb2.MODEL_STATE_UNLOADED


async def test_watchers_that_stop_reading_hold_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        scripted_service(stall_seconds=0.2) as service,
        raw_peer(service.target, window=0) as peer,
        service.client() as client,
    ):
        watching = await asked(peer, f"{MODELS}/WatchModels", models_pb2.WatchModelsRequest())
        # gRPC's own service writes to a watcher under the lock that every change needs.
        for name in ("", "quorate.model/alpha"):
            await asked(
                peer, "/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest(service=name)
            )
        await service.fleet.unload("alpha")
        async with asyncio.timeout(30):
            while await client.healthy("alpha"):
                pass
        await until(lambda: "WatchModels status=ABORTED" in caplog.text)
        await peer.open_window(watching)
        frames = await asyncio.wait_for(peer.rest(watching), 30)
    assert b"its reader took nothing of it" in trailers(frames)


async def test_an_answer_in_one_piece_is_given_up_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        scripted_service(stall_seconds=0.1) as service,
        raw_peer(service.target, window=0) as peer,
    ):
        stream = await asked(peer, f"{MODELS}/ListModels", models_pb2.ListModelsRequest())
        await until(lambda: "ListModels status=ABORTED" in caplog.text)
        await peer.open_window(stream)
        frames = await asyncio.wait_for(peer.rest(stream), 30)
    assert b"its reader took nothing of it" in trailers(frames)


async def test_a_stream_that_is_cut_when_the_server_stops_is_told_so() -> None:
    dispatcher = FakeDispatcher(endless)
    async with fake_service(dispatcher) as service, service.client() as client:
        stream = client.generate("x", model="a")
        await anext(stream)
        stopping = asyncio.create_task(service.server.stop())

        async def rest() -> None:
            async for _ in stream:
                pass

        refusal = await refused(rest())
        await asyncio.wait_for(stopping, 30)
    assert (refusal.status, refusal.reason) == ("UNAVAILABLE", "SERVER_STOPPED")
    assert "the server stopped before the answer was complete" in refusal.message
    assert refusal.retry_after_seconds > 0


@pytest.mark.parametrize("force", [False, True])
async def test_unloading_waits_until_its_deadline_and_then_stays_or_forces(force: bool) -> None:
    model = {"alpha": {"say": "", "seed": 1, "step_delay_ms": 20.0, "context_length": 512}}
    async with scripted_service(model) as service, service.client() as client:
        stream = client.generate("x", model="alpha", max_tokens=400, temperature=1.0)
        await anext(stream)
        request = models_pb2.UnloadModelRequest(model="alpha", deadline_ms=50, force=force)
        answer = await unloaded(service.target, request)
        if force:
            assert answer == "UNLOADED"
            refusal = await refused(drained(stream))
            assert refusal.status == "UNAVAILABLE"
        else:
            assert answer.startswith("DEADLINE_EXCEEDED model alpha stays loaded: after 0.05 s")
            assert "1 request" in answer
            assert service.fleet.get("alpha").state is ModelState.READY
            assert await client.complete("x", model="alpha", max_tokens=2)
        await stream.aclose()


async def drained(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


async def unloaded(target: str, request: models_pb2.UnloadModelRequest) -> str:
    """What came of it: the state, or the error."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        try:
            answer = await stub.UnloadModel(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
    return models_pb2.ModelState.Name(answer.model.state).removeprefix("MODEL_STATE_")
