from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.engines.worker.statuses import WorkerPhase
from quorate.errors import InvalidRequest
from quorate.fleet.status import ModelState
from quorate.request import (
    Delta,
    Event,
    FailurePolicy,
    Finished,
    Plan,
    Request,
    SamplingOptions,
    ScoreRequest,
    TextPrompt,
    WeightedModel,
)
from support.dispatching import (
    DEADLINE_SECONDS,
    GREEDY,
    DispatcherHarness,
    running_dispatcher,
    until,
)
from support.ensembles import die_and_return


def request(*models: str, on_failure: FailurePolicy = FailurePolicy.AUTO) -> Request:
    plan = Plan(tuple(WeightedModel(model) for model in models), on_failure=on_failure)
    return Request(TextPrompt("x"), plan, GREEDY)


async def text_of(events: AsyncIterator[Event]) -> str:
    return "".join([event.text async for event in events if isinstance(event, Delta)])


async def restart(stage: DispatcherHarness, model: str) -> None:
    """Kills a model's worker and waits until requests are sent to it again."""
    engine = stage.cast.engines[model]
    die_and_return(engine)
    changes = stage.fleet.watch()
    for phase, state in (
        (WorkerPhase.RESTARTING, ModelState.RESTARTING),
        (WorkerPhase.READY, ModelState.READY),
    ):
        engine.become(phase)
        async for status in changes:
            if status.id == model and status.state is state:
                break
    await changes.aclose()


async def test_a_replay_never_waits_for_those_that_wait_for_it() -> None:
    one = {"sessions": 1, "say": "hello"}
    async with (
        running_dispatcher({"a": one, "b": one}) as stage,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        asked = request("a", "b", on_failure=FailurePolicy.REPLAY)
        slow_reader = stage.dispatcher.generate(asked)
        await anext(slow_reader)
        await anext(slow_reader)
        await restart(stage, "a")
        overtaker = asyncio.create_task(text_of(stage.dispatcher.generate(asked)))
        await until(lambda: stage.cast.engines["b"].admission.waiting)
        rest = await text_of(slow_reader)
        assert "hello".endswith(rest) and rest
        assert await overtaker == "hello"


async def test_sampling_that_can_never_be_served_is_refused_without_waiting() -> None:
    async with (
        running_dispatcher({"a": {"sessions": 1, "say": "hello"}}) as stage,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        holder = stage.dispatcher.generate(request("a"))
        await anext(holder)
        bad = Request(TextPrompt("x"), None, SamplingOptions(temperature=-1.0))
        with pytest.raises(InvalidRequest, match=r"sampling\.temperature"):
            await anext(stage.dispatcher.generate(bad))
        await holder.aclose()


async def test_usage_names_the_members_in_the_order_of_the_plan_also_after_a_drop() -> None:
    say = {"say": "hello world"}
    async with running_dispatcher({"a": say, "b": say}) as stage:
        events = stage.dispatcher.generate(request("a", "b"))
        await anext(events)
        await anext(events)
        stage.cast.engines["a"].lose("killed by SIGKILL")
        last = [event async for event in events][-1]
        assert isinstance(last, Finished)
        assert [usage.model for usage in last.usage.models] == ["a", "b"]


async def test_a_score_keeps_its_members_although_one_dies_meanwhile() -> None:
    async with running_dispatcher({"a": {"seed": 1}, "b": {"seed": 2}}) as stage:
        plan = request("a", "b").plan
        asked = ScoreRequest(TextPrompt("x"), "hello", plan)
        undisturbed = await stage.dispatcher.score(asked)
        assert undisturbed.decision.on_failure is FailurePolicy.REPLAY
        scoring = asyncio.create_task(stage.dispatcher.score(asked))
        engine = stage.cast.engines["a"]
        await until(lambda: engine.open_sessions)
        die_and_return(engine)
        assert (await scoring).logprob == undisturbed.logprob


async def test_a_continuation_without_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_dispatcher({"a": {}}) as stage:

        async def nothing(text: str) -> list[int]:
            return []

        monkeypatch.setattr(stage.cast.engines["a"], "encode_continuation", nothing)
        with pytest.raises(InvalidRequest, match="continuation: has no tokens"):
            await stage.dispatcher.score(ScoreRequest(TextPrompt("x"), " ", request("a").plan))
