from __future__ import annotations

import pytest

from quorate.client import Client
from quorate.engines.worker.statuses import WorkerPhase
from quorate.v1 import models_pb2
from support.managed_engines import broken_source, scripted_source
from support.service import Service, scripted_service
from support.streams import refused


async def test_models_are_listed_in_their_order_with_what_is_known(client: Client) -> None:
    models = await client.models()
    one = await client.model("beta")
    assert [model.id for model in models] == ["alpha", "beta"]
    assert all(model.state == models_pb2.MODEL_STATE_READY for model in models)
    assert models[0].engine == "scripted"
    assert models[0].context_length == 512
    assert models[0].vocabulary_size > 0
    assert models[0].vocabulary_fingerprint == models[1].vocabulary_fingerprint
    assert models[0].memory_bytes == 4096
    assert not models[0].HasField("progress")
    assert one == models[1]


async def test_a_model_is_unloaded_and_loaded_again(client: Client) -> None:
    assert (await client.unload("alpha")).state == models_pb2.MODEL_STATE_UNLOADED
    await refused(client.complete("x", model="alpha"))
    assert (await client.load("alpha")).state == models_pb2.MODEL_STATE_READY
    assert await client.complete("x", model="alpha", temperature=0.0) == "hello world"


async def test_a_model_that_cannot_be_loaded_is_a_failed_precondition() -> None:
    async with scripted_service() as service, service.client() as client:
        service.fleet.add(broken_source("gamma", "the file is truncated"))
        refusal = await refused(client.load("gamma"))
        assert (await client.model("gamma")).state == models_pb2.MODEL_STATE_FAILED
        assert await client.complete("x", model="alpha", temperature=0.0) == "hello world"
    assert refusal.status == "FAILED_PRECONDITION"
    assert "the file is truncated" in refusal.message


@pytest.mark.parametrize("method", ["model", "load", "unload"])
async def test_an_unknown_model_is_not_found(method: str, client: Client) -> None:
    refusal = await refused(getattr(client, method)("alfa"))
    assert refusal.status == "NOT_FOUND"
    assert refusal.metadata["nearest"] == "alpha"


@pytest.mark.parametrize("method", ["model", "load", "unload"])
async def test_a_model_without_a_name_is_refused(method: str, client: Client) -> None:
    refusal = await refused(getattr(client, method)(""))
    assert refusal.status == "INVALID_ARGUMENT"
    assert refusal.violations[0][0] == "model"


async def test_a_watcher_sees_every_model_and_then_each_change() -> None:
    async with scripted_service() as service, service.client() as client:
        changes = client.watch_models()
        first = [(await anext(changes)).id for _ in range(2)]
        service.cast.engines["beta"].become(WorkerPhase.RESTARTING, "killed by SIGKILL")
        change = await anext(changes)
        await changes.aclose()
    assert first == ["alpha", "beta"]
    assert change.id == "beta"
    assert change.state == models_pb2.MODEL_STATE_RESTARTING
    assert change.message == "killed by SIGKILL"


async def test_a_model_added_later_is_listed(service: Service, client: Client) -> None:
    service.fleet.add(scripted_source("gamma", seed=3))
    assert [model.id for model in await client.models()] == ["alpha", "beta", "gamma"]
    assert (await client.load("gamma")).state == models_pb2.MODEL_STATE_READY
