from __future__ import annotations

import asyncio

import pytest

from quorate.client import ServiceError
from support.fake_dispatch import FakeDispatcher, endless
from support.service import Service, fake_service, scripted_service
from support.streams import refused


async def test_a_draining_server_ends_what_runs_and_refuses_what_is_new() -> None:
    async with scripted_service() as service, service.client() as client:
        running = client.generate("x", model="alpha", max_tokens=40, temperature=0.0)
        first = await anext(running)
        drained = asyncio.create_task(service.server.drain())
        while await client.healthy():
            pass
        refusal = await refused(client.complete("x", model="beta"))
        rest = [event async for event in running]
        assert await asyncio.wait_for(drained, 30)
    assert first.WhichOneof("event") == "accepted"
    assert rest[-1].WhichOneof("event") == "finished"
    assert "".join(event.delta.text for event in rest) == "hello world"
    assert refusal.status == "UNAVAILABLE"
    assert refusal.retry_after_seconds > 0


async def test_draining_gives_up_at_its_deadline() -> None:
    async with (
        scripted_service({"alpha": {"sessions": 1}}, drain_seconds=0.05) as service,
        service.client() as client,
    ):
        held = service.cast.engines["alpha"]
        session = await held.open(8)
        waiting = asyncio.create_task(client.complete("x", model="alpha"))
        while not service.dispatcher.running:
            await client.models()
        assert not await service.server.drain()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        session.close()


async def test_stopping_ends_streams_that_would_run_for_ever() -> None:
    dispatcher = FakeDispatcher(endless)
    async with fake_service(dispatcher) as service, service.client() as client:
        stream = client.generate("x", model="a")
        await anext(stream)
        await asyncio.wait_for(service.server.stop(), 30)
        with pytest.raises(ServiceError) as caught:
            async for _ in stream:
                pass
        await asyncio.wait_for(dispatcher.closed.wait(), 10)
    assert dispatcher.running == 0
    assert (caught.value.status, caught.value.reason) == ("UNAVAILABLE", "SERVER_STOPPED")
    assert caught.value.message == "the server stopped before the answer was complete"
    assert caught.value.retry_after_seconds > 0


async def test_a_watcher_and_a_request_that_waits_are_told_that_the_server_stopped() -> None:
    async with (
        scripted_service({"alpha": {"sessions": 1}}, drain_seconds=0.0) as service,
        service.client() as client,
    ):
        session = await service.cast.engines["alpha"].open(8)
        watching = client.watch_models()
        await anext(watching)
        waiting = asyncio.create_task(refused(client.complete("x", model="alpha")))
        while not service.dispatcher.running:
            await client.models()
        await service.server.drain()
        await asyncio.wait_for(service.server.stop(), 30)
        refusal = await waiting
        with pytest.raises(ServiceError, match="the server stopped"):
            async for _ in watching:
                pass
        session.close()
    assert refusal.reason == "SERVER_STOPPED"


async def test_stopping_twice_is_stopping_once(service: Service) -> None:
    await service.server.stop()
    await service.server.stop()
