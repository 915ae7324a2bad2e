"""What a server tells of itself, and the ids of calls."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from quorate.access import limits
from quorate.client import Client
from quorate.dispatch import DispatchSettings
from quorate.engines.worker.statuses import WorkerPhase
from quorate.request import Alignment, CascadePlan, CombinationRule, Plan, Stage, WeightedModel
from quorate.v1 import (
    inference_pb2,
    inference_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    plan_pb2,
    server_pb2,
)
from support.service import Service, scripted_service

PROFILES: dict[str, Any] = {
    "pair": Plan(
        (WeightedModel("alpha", 0.25), WeightedModel("beta")),
        rule=CombinationRule.GEOMETRIC,
        alignment=Alignment.SAME_VOCABULARY,
    ),
    "careful": CascadePlan(
        (
            Stage(Plan((WeightedModel("alpha"),)), 0.5),
            Stage(Plan((WeightedModel("alpha"), WeightedModel("beta")))),
        )
    ),
    "one": Plan((WeightedModel("beta"),)),
}


async def test_a_server_tells_its_limits_and_what_goes_on() -> None:
    admission = DispatchSettings(max_running=3, max_waiting=5)
    async with scripted_service(limits=admission) as service, service.client() as client:
        server = await client.server()
        await service.dispatcher.drain(0.0)
        draining = (await client.server()).draining
    assert (server.running, server.waiting) == (0, 0)
    assert (server.max_running, server.max_waiting) == (3, 5)
    assert (server.draining, draining) == (False, True)
    assert (server.tls, server.keys, server.problem) == (False, False, "")
    known = {(limit.field, limit.unit): limit.most for limit in server.limits}
    stop = "StoppingOptions.stop"
    assert known["*", server_pb2.LIMIT_UNIT_BYTES] == 16 * 2**20
    assert known[stop, server_pb2.LIMIT_UNIT_ITEMS] == limits.MAX_STOP_STRINGS
    assert known[stop, server_pb2.LIMIT_UNIT_BYTES] == limits.MAX_STOP_BYTES
    assert known[stop, server_pb2.LIMIT_UNIT_TOTAL_BYTES] == limits.MAX_STOP_BYTES_TOGETHER
    assert known["SamplingOptions.seed", server_pb2.LIMIT_UNIT_VALUE] == 2**53 - 1
    assert {f"{row.message}.{row.field}" for row in limits.table()} <= {field for field, _ in known}


async def test_profiles_are_listed_with_their_plans_and_why_one_cannot_run() -> None:
    async with (
        scripted_service(profiles=PROFILES, default_profile="pair") as service,
        service.client() as client,
    ):
        service.cast.engines["beta"].become(WorkerPhase.FAILED, "out of luck")
        while (await client.model("beta")).state != models_pb2.MODEL_STATE_FAILED:
            pass
        pair, careful, one = await client.profiles()
        served = [profile.name for profile in (pair, careful, one) if profile.ready]
        # What is listed can be asked for as it stands.
        text = await client.complete("x", model="alpha", temperature=0.0)
        decision = inference_pb2.GenerateRequest(prompt="x", plan=pair.plan)
    assert text == "hello world"
    assert [one.name for one in (pair, careful, one)] == ["pair", "careful", "one"]
    assert [one.is_default for one in (pair, careful, one)] == [True, False, False]
    assert served == ["pair", "careful"]
    assert "out of luck" in one.problem
    assert list(pair.models) == ["alpha", "beta"]
    ensemble = decision.plan.ensemble
    assert [(each.model, each.HasField("weight")) for each in ensemble.members] == [
        ("alpha", True),
        ("beta", False),
    ]
    assert ensemble.rule == plan_pb2.COMBINATION_RULE_GEOMETRIC
    assert ensemble.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    first, last = careful.plan.cascade.stages
    assert (first.single.model, first.confidence) == ("alpha", 0.5)
    assert not last.HasField("confidence")
    assert one.plan.single.model == "beta"


@pytest.mark.parametrize(("given", "told"), [("mine 1", "mine 1"), ("über", "%C3%BCber")])
async def test_the_id_of_a_stream_is_in_its_headers_and_its_first_and_last_event(
    service: Service, given: str, told: str
) -> None:
    async with grpc.aio.insecure_channel(service.target) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        plan = {"single": {"model": "alpha"}}
        call = stub.Generate(
            inference_pb2.GenerateRequest(request_id=given, prompt="x", plan=plan), timeout=30
        )
        headers = dict(await call.initial_metadata())
        events = [event async for event in call]
    assert headers["quorate-request-id"] == told
    assert events[0].accepted.request_id == events[-1].finished.request_id == given


async def test_an_id_that_was_made_up_is_told_by_answers_and_refusals(service: Service) -> None:
    async with grpc.aio.insecure_channel(service.target) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        call = stub.ListModels(models_pb2.ListModelsRequest())
        answered = dict(await call.initial_metadata())
        await call
        watched = stub.WatchModels(models_pb2.WatchModelsRequest())
        following = dict(await watched.initial_metadata())
        watched.cancel()
        refused = stub.GetModel(models_pb2.GetModelRequest(model="alfa"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await refused
    ids = [each["quorate-request-id"] for each in (answered, following)]
    ids.append(dict(caught.value.trailing_metadata())["quorate-request-id"])
    assert all(len(each) == 32 for each in ids)
    assert len(set(ids)) == 3
    # A call whose headers have come is never tried again, so that a refusal has none.
    assert "quorate-request-id" not in dict(caught.value.initial_metadata())


async def test_a_text_becomes_tokens_and_text_again(client: Client) -> None:
    told = await client.tokenize("alpha", "hello wörld")
    assert b"".join(told.pieces) == "hello wörld".encode()
    assert len(told.tokens) == len(told.pieces)
    back = await client.detokenize("alpha", told.tokens)
    assert back.text == "hello wörld"
    assert list(back.pieces) == list(told.pieces)
    half = await client.detokenize("alpha", list(told.tokens)[:8])
    assert half.text == "hello w" + "\ufffd"


async def test_a_chat_becomes_the_tokens_of_its_prompt(client: Client) -> None:
    plain = await client.tokenize("alpha", "hi")
    chat = await client.tokenize("alpha", messages=[("user", "hi")])
    assert len(chat.tokens) > len(plain.tokens)
    going_on = await client.tokenize("alpha", "hi", continuation=True)
    assert b"".join(going_on.pieces) == b"hi"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (models_pb2.TokenizeRequest(model="alpha"), "input"),
        (models_pb2.TokenizeRequest(text="x"), "model"),
        (models_pb2.TokenizeRequest(model="alpha", chat={}), "chat.messages"),
        (
            models_pb2.TokenizeRequest(
                model="alpha", chat={"messages": [{"role": "user"}]}, parse_special=True
            ),
            "parse_special",
        ),
        (
            models_pb2.TokenizeRequest(
                model="alpha", text="x", parse_special=True, continuation=True
            ),
            "parse_special",
        ),
        (models_pb2.TokenizeRequest(model="alpha", text="x" * 2**20), "text"),
        (models_pb2.TokenizeRequest(model="alpha", text="x" * 600), "text"),
        (models_pb2.DetokenizeRequest(model="alpha", tokens=[1, -1]), "tokens[1]"),
        (models_pb2.DetokenizeRequest(model="alpha", tokens=[5000]), "tokens[0]"),
        (models_pb2.DetokenizeRequest(model="alpha", tokens=[5] * 262_145), "tokens"),
    ],
)
async def test_what_cannot_be_tokens_or_text_is_refused_by_its_field(
    service: Service, request_: Any, field: str
) -> None:
    async with grpc.aio.insecure_channel(service.target) as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        tokenize = isinstance(request_, models_pb2.TokenizeRequest)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (stub.Tokenize if tokenize else stub.Detokenize)(request_, timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(f"{field}: ")


async def test_a_model_that_is_not_loaded_has_no_tokens() -> None:
    async with scripted_service() as service, service.client() as client:
        await client.unload("beta")
        async with grpc.aio.insecure_channel(service.target) as channel:
            stub = models_pb2_grpc.ModelServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Tokenize(models_pb2.TokenizeRequest(model="beta", text="x"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
