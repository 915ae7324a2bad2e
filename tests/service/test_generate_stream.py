"""Generate over a real server: what the stream holds, and what happens when its reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quorate.client import ServiceError
from quorate.request import (
    CombinationRule,
    Delta,
    Event,
    Notice,
    NoticeKind,
    Plan,
    Request,
    Token,
    WeightedModel,
)
from quorate.v1 import inference_pb2, plan_pb2
from support.fake_dispatch import FINISHED, FakeDispatcher, accepted, delta, endless
from support.service import fake_service, scripted_service

ENSEMBLE = {"alpha": 3.0, "beta": 1.0}


async def first_of(stream: Any) -> inference_pb2.GenerateResponse:
    """The first event of a stream that is read to its end."""
    events = [event async for event in stream]
    return events[0]


async def test_a_stream_is_accepted_then_deltas_then_finished() -> None:
    async with scripted_service() as service, service.client() as client:
        events = [e async for e in client.generate("x", model="alpha", temperature=0.0)]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"delta"}
    assert "".join(event.delta.text for event in events) == "hello world"
    pieces = b"".join(token.piece for event in events for token in event.delta.tokens)
    assert pieces.startswith(b"hello world")
    finished = events[-1].finished
    assert finished.reason == inference_pb2.FINISH_REASON_END_OF_GENERATION
    assert finished.usage.generated_tokens >= 1
    assert finished.usage.time_to_first_token_ms >= 0
    assert [model.model for model in finished.usage.models] == ["alpha"]
    assert not finished.usage.models[0].energy.HasField("joules")
    assert finished.usage.models[0].energy.tier == inference_pb2.ENERGY_TIER_UNAVAILABLE


async def test_the_decision_tells_what_was_left_open() -> None:
    async with scripted_service() as service, service.client() as client:
        stream = client.generate("x", models=ENSEMBLE, seed=11, request_id="mine", max_tokens=1)
        first = (await first_of(stream)).accepted
    assert first.request_id == "mine"
    decision = first.decision
    assert [(m.model, m.weight) for m in decision.members] == [("alpha", 0.75), ("beta", 0.25)]
    assert decision.rule == plan_pb2.COMBINATION_RULE_LINEAR
    assert decision.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    assert decision.weighting == plan_pb2.WEIGHTING_STATIC
    assert decision.seed == 11
    assert decision.context_tokens == 512


async def test_a_request_without_an_id_is_given_one() -> None:
    async with scripted_service() as service, service.client() as client:
        ids = set()
        for _ in range(2):
            stream = client.generate("x", model="alpha", max_tokens=1)
            ids.add((await first_of(stream)).accepted.request_id)
    assert len(ids) == 2
    assert "" not in ids


async def test_votes_and_candidates_come_when_asked_for() -> None:
    async with scripted_service() as service, service.client() as client:
        stream = client.generate(
            "x", models=ENSEMBLE, temperature=0.0, max_tokens=3, votes=True, top_logprobs=4
        )
        tokens = [t async for event in stream for t in event.delta.tokens]
    assert len(tokens) == 3
    for token in tokens:
        assert [vote.model for vote in token.votes] == ["alpha", "beta"]
        assert sum(vote.weight for vote in token.votes) == pytest.approx(1.0)
        assert len(token.top) == 4
        assert token.top[0].logprob == pytest.approx(token.logprob)


async def test_neither_votes_nor_candidates_come_unasked() -> None:
    async with scripted_service() as service, service.client() as client:
        stream = client.generate("x", models=ENSEMBLE, max_tokens=2)
        tokens = [t async for event in stream for t in event.delta.tokens]
    assert all(not token.votes and not token.top for token in tokens)


async def test_a_profile_is_a_named_plan_and_the_default_is_used_where_none_is_named() -> None:
    pair = Plan((WeightedModel("alpha"), WeightedModel("beta")), rule=CombinationRule.MAJORITY)
    async with (
        scripted_service(profiles={"pair": pair}, default_profile="pair") as service,
        service.client() as client,
    ):
        named = await first_of(client.generate("x", profile="pair", max_tokens=1))
        default = await first_of(client.generate("x", max_tokens=1))
    assert named.accepted.decision.profile == default.accepted.decision.profile == "pair"
    assert named.accepted.decision.rule == plan_pb2.COMBINATION_RULE_MAJORITY


async def test_a_chat_is_answered() -> None:
    async with scripted_service() as service, service.client() as client:
        chat = [("system", "be brief"), ("user", "hi")]
        text = await client.complete(messages=chat, model="alpha", temperature=0.0)
    assert text == "hello world"


async def test_notices_reach_the_reader() -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield accepted(request)
        yield Notice(NoticeKind.MEMBER_DROPPED, "b", "model b was dropped")
        yield FINISHED

    async with fake_service(FakeDispatcher(script)) as service, service.client() as client:
        events = [event async for event in client.generate("x", model="a")]
    assert events[1].notice.kind == inference_pb2.NOTICE_KIND_MEMBER_DROPPED
    assert events[1].notice.model == "b"
    assert events[1].notice.message == "model b was dropped"


async def test_a_delta_without_text_is_still_a_delta() -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield accepted(request)
        yield Delta("", ())
        yield Delta("", (Token(0, b"\xe2\x82", 0.0),))
        yield FINISHED

    async with fake_service(FakeDispatcher(script)) as service, service.client() as client:
        events = [event async for event in client.generate("x", model="a")]
    assert [e.WhichOneof("event") for e in events] == ["accepted", "delta", "delta", "finished"]
    assert events[2].delta.tokens[0].piece == b"\xe2\x82"


async def test_a_client_that_leaves_closes_the_dispatchers_stream() -> None:
    dispatcher = FakeDispatcher(endless)
    async with fake_service(dispatcher) as service, service.client() as client:
        stream = client.generate("x", model="a")
        await anext(stream)
        assert dispatcher.running == 1
        await stream.aclose()
        await asyncio.wait_for(dispatcher.closed.wait(), 10)
    assert dispatcher.running == 0


async def test_a_client_that_leaves_frees_the_only_session() -> None:
    models = {"alpha": {"sessions": 1, "seed": 1}}
    async with scripted_service(models) as service, service.client() as client:
        stream = client.generate("x", model="alpha", max_tokens=400)
        await anext(stream)
        await stream.aclose()
        text = await client.complete("x", model="alpha", temperature=0.0, max_tokens=3, timeout=30)
        assert text
        assert await service.dispatcher.drain(10)
        assert service.dispatcher.running == 0


async def test_a_passed_deadline_ends_the_stream_and_frees_it() -> None:
    dispatcher = FakeDispatcher(endless)
    async with fake_service(dispatcher) as service, service.client() as client:
        with pytest.raises(ServiceError) as caught:
            await client.complete("x", model="a", timeout=0.2)
        await asyncio.wait_for(dispatcher.closed.wait(), 10)
    assert caught.value.status == "DEADLINE_EXCEEDED"
    assert dispatcher.running == 0


async def test_a_reader_that_stops_reading_stalls_only_itself() -> None:
    produced = 0
    most = 10_000

    async def flood(request: Request) -> AsyncIterator[Event]:
        nonlocal produced
        yield accepted(request)
        for _ in range(most if request.request_id == "stalled" else 50):
            produced += request.request_id == "stalled"
            yield delta("x" * 32_768)
        yield FINISHED

    dispatcher = FakeDispatcher(flood)
    async with (
        fake_service(dispatcher) as service,
        service.client() as stalled,
        service.client() as brisk,
    ):
        stream = stalled.generate("x", model="a", request_id="stalled")
        await anext(stream)
        before = -1
        while before != produced:
            before = produced
            assert len(await brisk.complete("x", model="a", timeout=30)) == 50 * 32_768
        assert 0 < produced < most / 10
        await stream.aclose()


async def test_a_hundred_streams_run_at_once() -> None:
    async with scripted_service() as service, service.client() as client:

        async def one() -> str:
            return await client.complete("x", models=ENSEMBLE, temperature=0.0, timeout=90)

        texts = await asyncio.gather(*(one() for _ in range(100)))
        assert await service.dispatcher.drain(10)
    assert set(texts) == {"hello world"}
