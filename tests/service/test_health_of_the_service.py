from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quorate.api.grpc.health import INFERENCE_SERVICE, MODEL_SERVICE
from quorate.client import Client
from quorate.engines.worker.statuses import WorkerPhase
from quorate.request import FailurePolicy, Plan, WeightedModel
from support.dispatching import only
from support.managed_engines import scripted_source
from support.service import Service, scripted_service
from support.streams import refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def watching(service: Service, name: str) -> AsyncIterator[Any]:
    """States of a service as they are pushed."""
    async with grpc.aio.insecure_channel(service.target) as channel:
        request = health_pb2.HealthCheckRequest(service=name)
        call = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=30)
        yield (response.status async for response in call)
        call.cancel()


async def test_everything_is_healthy_while_the_models_are_ready(service: Service) -> None:
    async with grpc.aio.insecure_channel(service.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", INFERENCE_SERVICE, MODEL_SERVICE, "quorate.model/alpha"):
            response = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert response.status == SERVING, name


async def test_the_client_asks_for_the_server_and_for_a_model(client: Client) -> None:
    assert await client.healthy()
    assert await client.healthy("alpha")
    refusal = await refused(client.healthy("alfa"))
    assert refusal.status == "NOT_FOUND"


async def test_a_server_without_a_ready_model_is_not_serving() -> None:
    async with scripted_service({}) as service, service.client() as client:
        assert not await client.healthy()


async def test_a_dead_worker_turns_its_model_red_and_back(service: Service, client: Client) -> None:
    async with watching(service, "quorate.model/alpha") as states:
        assert await anext(states) == SERVING
        service.cast.engines["alpha"].become(WorkerPhase.RESTARTING)
        assert await anext(states) == NOT_SERVING
        assert await client.healthy()
        assert await client.healthy("beta")
        service.cast.engines["alpha"].become(WorkerPhase.READY)
        assert await anext(states) == SERVING


@pytest.mark.parametrize("name", ["", INFERENCE_SERVICE, "quorate.model/alpha"])
async def test_a_stuck_model_turns_red_although_its_process_lives(name: str) -> None:
    async with scripted_service() as service, watching(service, name) as states:
        assert await anext(states) == SERVING
        service.cast.engines["alpha"].wedged = True
        assert await anext(states) == NOT_SERVING
        service.cast.engines["alpha"].wedged = False
        assert await anext(states) == SERVING


async def test_an_unloaded_model_is_red() -> None:
    async with scripted_service() as service, watching(service, "quorate.model/alpha") as states:
        assert await anext(states) == SERVING
        await service.fleet.unload("alpha")
        assert await anext(states) == NOT_SERVING


async def test_draining_turns_everything_red_for_good(service: Service) -> None:
    async with (
        watching(service, "") as overall,
        watching(service, "quorate.model/alpha") as model,
    ):
        assert await anext(overall) == await anext(model) == SERVING
        await service.server.drain()
        assert await anext(overall) == await anext(model) == NOT_SERVING


async def test_a_model_that_appears_is_told_to_those_who_wait_for_it() -> None:
    async with scripted_service({}) as service, watching(service, "quorate.model/gamma") as states:
        assert await anext(states) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        service.fleet.add(scripted_source("gamma"))
        assert await anext(states) == NOT_SERVING
        await service.fleet.load("gamma")
        assert await anext(states) == SERVING


PROFILES = {
    "solo": only("alpha"),
    "pair": Plan((WeightedModel("alpha"), WeightedModel("beta")), on_failure=FailurePolicy.FAIL),
}


async def test_a_profile_is_red_while_one_of_its_models_is_down() -> None:
    async with (
        scripted_service(profiles=PROFILES) as service,
        watching(service, "quorate.profile/pair") as states,
        service.client() as client,
    ):
        assert await anext(states) == SERVING
        service.cast.engines["beta"].become(WorkerPhase.RESTARTING)
        assert await anext(states) == NOT_SERVING
        assert await client.healthy(profile="solo")
        assert not await client.healthy(profile="pair")
        assert await client.healthy()
        service.cast.engines["beta"].become(WorkerPhase.READY)
        assert await anext(states) == SERVING
        service.cast.engines["alpha"].wedged = True
        assert await anext(states) == NOT_SERVING
        refusal = await refused(client.healthy(profile="none"))
        assert refusal.status == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", INFERENCE_SERVICE])
async def test_the_service_is_red_while_its_default_profile_cannot_run(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with (
        scripted_service(profiles=PROFILES, default_profile="pair") as service,
        watching(service, name) as states,
        service.client() as client,
    ):
        assert await anext(states) == SERVING
        await service.fleet.unload("beta")
        assert await anext(states) == NOT_SERVING
        assert await client.healthy("alpha")
        assert await client.complete("x", profile="solo", temperature=0.0) == "hello world"
        await service.fleet.load("beta")
        assert await anext(states) == SERVING
    why = "health is red: the default profile pair cannot run: beta: is not loaded"
    assert why in caplog.text
    # That it was red until the models came was no news.
    told = [one.message for one in caplog.records if one.message.startswith("health is")]
    assert told[0] == told[-1] == "health is green"
    assert "health is green" not in told[1:-1]
    assert any(one.startswith(why) for one in told)


@pytest.mark.parametrize("required", [("beta",), ()])
async def test_the_service_is_red_while_a_required_model_is_not_ready(
    required: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    models = {"alpha": {"say": "hello"}, "beta": {}}
    async with scripted_service(models, required=required) as service, service.client() as client:
        assert await client.healthy()
        async with watching(service, "quorate.model/beta") as states:
            assert await anext(states) == SERVING
            service.cast.engines["beta"].become(WorkerPhase.FAILED, "wrong magic")
            assert await anext(states) == NOT_SERVING
        assert await client.healthy() is not bool(required)
        assert await client.complete("x", model="alpha", temperature=0.0) == "hello"
    told = "health is red: the required model beta is failed: wrong magic" in caplog.text
    assert told is bool(required)
