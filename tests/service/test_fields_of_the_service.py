from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from quorate.access.limits import MAX_BIASES, MAX_PROMPT_BYTES
from quorate.client import ServiceError
from quorate.client.errors import service_errors
from quorate.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc, plan_pb2
from support.fake_dispatch import FakeDispatcher, answer
from support.service import Service, fake_service, scripted_service

LARGE = 12_000_000


def channel_to(service: Service) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(service.target, [("grpc.max_send_message_length", -1)])


async def refused_by(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        async with service_errors("here", tls=False):
            if hasattr(call, "__aiter__"):
                async for _ in call:
                    pytest.fail("an event came")
            else:
                await call
    return refusal.value


async def test_a_field_that_holds_too_much_is_refused_by_name_and_quoted_by_nobody() -> None:
    long = "a" * LARGE
    async with scripted_service() as service, channel_to(service) as channel:
        ask = inference_pb2_grpc.InferenceServiceStub(channel)
        models = models_pb2_grpc.ModelServiceStub(channel)
        plan = plan_pb2.Plan(single=plan_pb2.SinglePlan(model=long))
        asked = inference_pb2.GenerateRequest(prompt="x", plan=plan)
        calls = {
            "plan.single.model": ask.Generate(asked),
            "request.plan.single.model": ask.Explain(inference_pb2.ExplainRequest(request=asked)),
            "profile": ask.Score(inference_pb2.ScoreRequest(prompt="x", profile=long)),
            "model": models.GetModel(models_pb2.GetModelRequest(model=long)),
        }
        for field, call in calls.items():
            refusal = await refused_by(call)
            assert refusal.status == "INVALID_ARGUMENT"
            assert refusal.violations == ((field, f"has {LARGE} bytes; at most 256 are allowed"),)
        async with service.client() as client:
            assert await client.complete("x", model="alpha", max_tokens=2)


async def test_the_most_of_everything_is_served() -> None:
    async with scripted_service() as service, service.client() as client:
        text = await client.complete(
            "x",
            model="alpha",
            max_tokens=4,
            stop=[f"{index:08}" for index in range(1024)],
            request_id="€" * 128,
        )
        assert text
        score = await client.score("x", "y" * 100, model="alpha")
        assert score.tokens


async def test_a_prompt_of_more_bytes_than_any_context_is_told_as_such() -> None:
    async with scripted_service() as service:
        refusal = await service.refusal(prompt="x" * (MAX_PROMPT_BYTES + 1), model="alpha")
    assert (refusal.status, refusal.reason) == ("INVALID_ARGUMENT", "PROMPT_TOO_LONG")
    assert refusal.violations[0][0] == "prompt"


async def test_large_requests_are_read_beside_the_event_loop() -> None:
    """The loop goes on while a request with the most biases and a long chat is read."""
    biases = dict.fromkeys(range(MAX_BIASES), -1.0)
    request = inference_pb2.GenerateRequest(prompt="x", sampling={"logit_bias": biases})
    request.plan.single.model = "alpha"
    for _ in range(10_000):
        request.chat.messages.add(role="user", content="x" * 20)
    dispatcher = FakeDispatcher(answer)
    async with fake_service(dispatcher) as service, channel_to(service) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        stalls = [0.0]

        async def beat() -> None:
            while True:
                began = time.thread_time()
                await asyncio.sleep(0)
                stalls[0] = max(stalls[0], time.thread_time() - began)

        beating = asyncio.create_task(beat())
        for _ in range(3):
            assert [event async for event in stub.Generate(request)]
        beating.cancel()
    assert len(dispatcher.requests) == 3
    # CPU time of the loop's own thread in one turn; read on the loop it would be 50 ms and more.
    assert stalls[0] < 0.02


async def test_services_that_are_not_ours_take_small_requests_alone() -> None:
    async with scripted_service(reflection=True) as service, channel_to(service) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        long = "a" * LARGE
        for call in (
            health.Check(health_pb2.HealthCheckRequest(service=long)),
            health.Watch(health_pb2.HealthCheckRequest(service=long)),
        ):
            refusal = await refused_by(call)
            assert refusal.status == "INVALID_ARGUMENT"
            assert f"has {len(long) + 5} bytes; at most 4096" in refusal.message
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=long)
        refusal = await refused_by(reflection.ServerReflectionInfo(iter([asked])))
        assert refusal.status == "INVALID_ARGUMENT"
        listed = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [one async for one in reflection.ServerReflectionInfo(iter([listed]))]
        names = [one.name for one in answers[0].list_services_response.service]
        assert "quorate.v1.InferenceService" in names
        response = await health.Check(health_pb2.HealthCheckRequest(service=""))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
