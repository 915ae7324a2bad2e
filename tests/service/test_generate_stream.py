"""Generate and Score over a real server, and what happens when the reader of a stream leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from quorate.client import Client
from quorate.request import (
    CombinationRule,
    Delta,
    Event,
    Plan,
    Request,
    Token,
    WeightedModel,
)
from quorate.v1 import inference_pb2, plan_pb2
from support.fake_dispatch import FINISHED, FakeDispatcher, accepted, delta, endless
from support.service import Service, fake_service, scripted_service
from support.streams import answer, refused

ENSEMBLE = {"alpha": 3.0, "beta": 1.0}


async def test_a_stream_is_accepted_then_deltas_then_finished(client: Client) -> None:
    heard = await answer(client, "x", model="alpha", temperature=0.0)
    kinds = [event.WhichOneof("event") for event in heard.events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"delta"}
    assert heard.text == "hello world"
    assert b"".join(token.piece for token in heard.tokens).startswith(b"hello world")
    finished = heard.events[-1].finished
    assert finished.reason == inference_pb2.FINISH_REASON_END_OF_GENERATION
    assert finished.usage.generated_tokens >= 1
    assert finished.usage.time_to_first_token_ms >= 0
    assert [model.model for model in finished.usage.models] == ["alpha"]
    assert not finished.usage.models[0].energy.HasField("joules")
    assert finished.usage.models[0].energy.tier == inference_pb2.ENERGY_TIER_UNAVAILABLE


async def test_the_decision_tells_what_was_left_open(client: Client) -> None:
    heard = await answer(client, "x", models=ENSEMBLE, seed=11, request_id="mine", max_tokens=1)
    assert heard.request_id == "mine"
    decision = heard.decision
    assert [(m.model, m.weight) for m in decision.members] == [("alpha", 0.75), ("beta", 0.25)]
    assert decision.rule == plan_pb2.COMBINATION_RULE_LINEAR
    assert decision.alignment == plan_pb2.ALIGNMENT_SAME_VOCABULARY
    assert decision.weighting == plan_pb2.WEIGHTING_STATIC
    assert decision.seed == 11
    assert decision.context_tokens == 512


async def test_a_request_without_an_id_is_given_one(client: Client) -> None:
    heard = [await answer(client, "x", model="alpha", max_tokens=1) for _ in range(2)]
    ids = {one.request_id for one in heard}
    assert len(ids) == 2
    assert "" not in ids


async def test_votes_and_candidates_come_when_asked_for(client: Client) -> None:
    heard = await answer(
        client, "x", models=ENSEMBLE, temperature=0.0, max_tokens=3, votes=True, top_logprobs=4
    )
    assert len(heard.tokens) == 3
    for token in heard.tokens:
        assert [vote.model for vote in token.votes] == ["alpha", "beta"]
        assert sum(vote.weight for vote in token.votes) == pytest.approx(1.0)
        assert len(token.top) == 4
        assert token.top[0].logprob == pytest.approx(token.logprob)


async def test_neither_votes_nor_candidates_come_unasked(client: Client) -> None:
    heard = await answer(client, "x", models=ENSEMBLE, max_tokens=2)
    assert heard.finished is not None
    assert all(not token.votes and not token.top for token in heard.tokens)


async def test_a_profile_is_a_named_plan_and_the_default_is_used_where_none_is_named() -> None:
    pair = Plan((WeightedModel("alpha"), WeightedModel("beta")), rule=CombinationRule.MAJORITY)
    async with (
        scripted_service(profiles={"pair": pair}, default_profile="pair") as service,
        service.client() as client,
    ):
        named = await answer(client, "x", profile="pair", max_tokens=1)
        default = await answer(client, "x", max_tokens=1)
    assert named.decision.profile == default.decision.profile == "pair"
    assert named.decision.rule == plan_pb2.COMBINATION_RULE_MAJORITY


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


async def test_calls_whose_client_leaves_end_one_after_the_other_with_the_loop_free_between() -> (
    None
):
    iterations, ended = 0, list[int]()

    async def script(request: Request) -> AsyncIterator[Event]:
        try:
            async for event in endless(request):
                yield event
        finally:
            ended.append(iterations)

    dispatcher = FakeDispatcher(script)
    async with fake_service(dispatcher) as service, service.client() as client:
        streams = [client.generate("x", model="a") for _ in range(30)]
        for stream in streams:
            await anext(stream)
        leaving = asyncio.gather(*(stream.aclose() for stream in streams))
        async with asyncio.timeout(30):
            while dispatcher.running:
                iterations += 1
                await asyncio.sleep(0)
        await leaving
    assert len(ended) == 30
    assert all(second > first for first, second in pairwise(ended))


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


async def test_a_hundred_streams_run_at_once(service: Service, client: Client) -> None:

    async def one() -> str:
        return await client.complete("x", models=ENSEMBLE, temperature=0.0, timeout=90)

    texts = await asyncio.gather(*(one() for _ in range(100)))
    assert await service.dispatcher.drain(10)
    assert set(texts) == {"hello world"}


async def test_a_score_is_the_sum_over_its_tokens(client: Client) -> None:
    score = await client.score("x", "hello", models={"alpha": 1.0, "beta": 1.0}, request_id="s1")
    assert score.request_id == "s1"
    assert score.bytes == 5
    assert b"".join(token.piece for token in score.tokens) == b"hello"
    assert score.logprob == pytest.approx(sum(token.logprob for token in score.tokens))
    assert score.logprob < 0
    assert [member.weight for member in score.decision.members] == [0.5, 0.5]
    assert [model.model for model in score.usage.models] == ["alpha", "beta"]


async def test_an_empty_continuation_is_refused(client: Client) -> None:
    refusal = await refused(client.score("x", "", model="alpha"))
    assert refusal.status == "INVALID_ARGUMENT"
    assert refusal.violations[0][0] == "continuation"
