"""Every row of the error table, as a client sees it."""

from __future__ import annotations

import asyncio
import logging
import math

import grpc
import pytest

from quorate.client import ServiceError
from quorate.dispatch import DispatchSettings
from quorate.engines.worker.statuses import WorkerPhase
from quorate.errors import (
    DeadlinePassed,
    Internal,
    InvalidRequest,
    ModelUnusable,
    NotFound,
    Overloaded,
    PromptTooLong,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
    WorkerLost,
)
from support.fake_dispatch import FakeDispatcher, answer, raising
from support.service import TWO_MODELS, Service, fake_service, scripted_service
from support.streams import refused


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InvalidRequest("sampling.top_p", "is 2"), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (PromptTooLong("prompt", "is long"), "INVALID_ARGUMENT", "PROMPT_TOO_LONG"),
        (NotFound("model", "alfa", ["alpha"]), "NOT_FOUND", "NOT_FOUND"),
        (ModelUnusable("a", "is broken"), "FAILED_PRECONDITION", "MODEL_UNUSABLE"),
        (UnsupportedPlan("a", "cannot"), "FAILED_PRECONDITION", "UNSUPPORTED_PLAN"),
        (Overloaded("full", 2.5), "RESOURCE_EXHAUSTED", "QUEUE_FULL"),
        (Unavailable("loading", 0.25), "UNAVAILABLE", "UNAVAILABLE"),
        (WorkerLost("a", "killed by SIGKILL"), "UNAVAILABLE", "WORKER_LOST"),
        (DeadlinePassed("too late"), "DEADLINE_EXCEEDED", "DEADLINE_PASSED"),
        (Internal("a defect"), "INTERNAL", "INTERNAL"),
    ],
)
@pytest.mark.parametrize("after", [0, 2])
async def test_each_error_has_its_status_before_and_after_the_first_response(
    error: QuorateError, status: str, reason: str, after: int
) -> None:
    async with (
        fake_service(FakeDispatcher(raising(error, after))) as service,
        service.client() as client,
    ):
        events = []
        with pytest.raises(ServiceError) as caught:
            async for event in client.generate("x", model="a", request_id="r1"):
                events.append(event)
    assert len(events) == after
    assert caught.value.status == status
    assert caught.value.reason == reason
    assert caught.value.message == error.message
    assert caught.value.metadata["request_id"] == "r1"


async def test_what_stands_in_the_way_is_named() -> None:
    error = ModelUnusable("alpha", "needs 8 GiB and 2 GiB are free")
    async with fake_service(FakeDispatcher(raising(error))) as service:
        refusal = await service.refusal()
    assert refusal.violations == (("alpha", "needs 8 GiB and 2 GiB are free"),)
    assert refusal.metadata["subject"] == "alpha"


async def test_a_defect_shows_an_incident_number_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "secret detail of the defect"
    async with fake_service(FakeDispatcher(raising(ZeroDivisionError(secret)))) as service:
        refusal = await service.refusal()
    assert refusal.status == "INTERNAL"
    assert refusal.metadata["incident"] in refusal.message
    assert secret not in refusal.message
    logged = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in logged] == [
        f"incident {refusal.metadata['incident']}"
    ]
    assert secret in str(logged[0].exc_info[1])


@pytest.mark.parametrize("error", [asyncio.CancelledError(), TimeoutError()])
async def test_what_nobody_asked_to_end_is_a_defect_and_does_not_hang_the_client(
    error: BaseException,
) -> None:
    async with fake_service(FakeDispatcher(raising(error))) as service:
        assert (await service.refusal()).status == "INTERNAL"


async def test_a_very_long_message_still_reaches_the_client() -> None:
    error = NotFound("model", "é\n" * 100_000, ["é" * 50_000])
    async with fake_service(FakeDispatcher(raising(error))) as service:
        refusal = await service.refusal()
    assert refusal.status == "NOT_FOUND"
    assert refusal.message.startswith("no model named 'é")
    assert len(refusal.message) < 700


async def test_bytes_that_are_no_message_are_refused() -> None:
    async with (
        fake_service(FakeDispatcher(answer)) as service,
        grpc.aio.insecure_channel(service.target) as channel,
    ):
        call = channel.unary_stream("/quorate.v1.InferenceService/Generate")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(b"\xff\xff\xff"):
                pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unknown_profile_is_not_found(service: Service) -> None:
    assert (await service.refusal(profile="fast")).status == "NOT_FOUND"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"temperature": math.nan}, "sampling.temperature"),
        ({"top_p": 1.5}, "sampling.top_p"),
        ({"max_tokens": 0}, "stopping.max_tokens"),
        ({"stop": [".", ""]}, "stopping.stop[1]"),
        ({"top_logprobs": 101}, "response.top_logprobs"),
        ({"request_id": "a\nb"}, "request_id"),
        ({"prompt": "x" * 5000}, "prompt"),
        ({"models": {"alpha": -1.0, "beta": 1.0}}, "plan.ensemble.members[0].weight"),
        ({"models": {"alpha": 1.0, "beta": math.nan}}, "plan.ensemble.members[1].weight"),
        ({"models": {"alpha": 0.0, "beta": 0.0}}, "plan.ensemble.members"),
        ({"models": []}, "plan.ensemble.members"),
    ],
)
async def test_wrong_values_are_refused_with_their_field(
    service: Service, options: dict[str, object], field: str
) -> None:
    refusal = await service.refusal(**options)
    assert refusal.status == "INVALID_ARGUMENT"
    assert refusal.violations[0][0] == field


async def test_a_refusal_bears_the_callers_request_id(service: Service) -> None:
    refusal = await service.refusal(model="alpha", max_tokens=0, request_id="mine")
    assert refusal.metadata["request_id"] == "mine"


async def test_a_full_queue_is_exhausted_and_says_when_to_try_again() -> None:
    limits = DispatchSettings(max_running=1, max_waiting=0)
    models = {**TWO_MODELS, "alpha": {**TWO_MODELS["alpha"], "sessions": 1}}
    async with scripted_service(models, limits=limits) as service, service.client() as client:
        # The request inside waits for the model's only session, and so cannot end too soon.
        taken = await service.cast.engines["alpha"].open(8)
        inside = asyncio.create_task(client.complete("x", model="alpha", temperature=0.0))
        async with asyncio.timeout(10):
            while not service.dispatcher.running:
                await asyncio.sleep(0)
        refusal = await service.refusal(model="beta")
        taken.close()
        assert await inside == "hello world"
    assert refusal.status == "RESOURCE_EXHAUSTED"
    assert refusal.reason == "QUEUE_FULL"
    assert refusal.retry_after_seconds >= 1.0


async def test_a_restarting_model_is_unavailable_for_a_while() -> None:
    async with scripted_service() as service, service.client() as client:
        service.cast.engines["alpha"].become(WorkerPhase.RESTARTING, "killed by SIGKILL")
        async for model in client.watch_models():
            if model.id == "alpha" and model.message:
                break
        # Who does not say so waits for it; see the failure policies.
        refusal = await service.refusal(model="alpha", failure_policy="fail")
        assert await client.complete("x", model="beta", temperature=0.0) == "hello there"
    assert refusal.status == "UNAVAILABLE"
    assert refusal.retry_after_seconds > 0


async def test_each_request_is_one_line_in_the_log_without_its_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "quorate.requests")
    async with scripted_service() as service, service.client() as client:
        await client.complete("my secret", model="alpha", max_tokens=1, request_id="r 1")
        await refused(client.complete("my secret", model="alfa"))
    lines = [r.getMessage() for r in caplog.records if r.name == "quorate.requests"]
    assert len(lines) == 2
    assert lines[0].startswith("method=quorate.v1.InferenceService/Generate status=OK duration_ms=")
    assert lines[0].endswith('request_id="r 1" models=["alpha"]')
    assert "status=NOT_FOUND" in lines[1]
    assert lines[1].endswith('models=["alfa"]')
    assert "secret" not in caplog.text
