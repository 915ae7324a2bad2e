"""A request that waited in the queue is decided anew when it has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.dispatch import DispatchSettings
from quorate.dispatch.router import Knowledge
from quorate.dispatch.stopwatch import Stopwatch
from quorate.errors import BudgetSpent, ModelUnusable, OverBudget
from quorate.ledger.budgets import Hold
from quorate.ledger.settings import BudgetLimits
from quorate.request import (
    Accepted,
    AutoPlan,
    Budget,
    Event,
    FailurePolicy,
    NoticeKind,
    Plan,
    ProfilePlan,
    ScoreRequest,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from quorate.routing.quality import QualityTable
from quorate.routing.settings import RoutingSettings
from support.dispatching import (
    DispatcherHarness,
    answer,
    ask,
    notices,
    only,
    running_dispatcher,
    text_of,
    until,
)

MODELS = {"a": {"say": "0123456789"}, "b": {"say": "two"}}
SHORT = StoppingOptions(max_tokens=11)
AMPLE = BudgetLimits(joules_per_hour=1e6)
A_IS_BETTER = Knowledge(QualityTable(declared={"a": 0.9, "b": 0.5}))
ROUTING = RoutingSettings(exploration=0.0, candidates=("a", "b"))
ONE_AT_A_TIME = DispatchSettings(max_running=1)


@asynccontextmanager
async def busy(stage: DispatcherHarness) -> AsyncIterator[AsyncIterator[Event]]:
    """One request has the only place and has begun."""
    running = stage.dispatcher.generate(ask(only("b")))
    assert isinstance(await anext(running), Accepted)
    try:
        yield running
    finally:
        await running.aclose()


async def queued(stage: DispatcherHarness, plan: Any, **rest: Any) -> asyncio.Task[list[Event]]:
    task = asyncio.create_task(answer(stage, plan, **rest))
    await until(lambda: stage.dispatcher.waiting)
    return task


async def measured(stage: DispatcherHarness) -> None:
    """Lets it be known what both models take."""
    for model in ("a", "b"):
        for _ in range(12):
            await answer(stage, only(model), stopping=SHORT)


def fill(stage: DispatcherHarness) -> Hold:
    """Leaves of the window what b takes, and less than what a does."""
    joules = {}
    for model in ("a", "b"):
        decision = stage.dispatcher.explain(ask(only(model), stopping=SHORT))
        joules[model] = decision.route.candidates[0].forecast.joules_q90 or 0.0
    assert 0.0 < joules["b"] < joules["a"]
    [window] = stage.recorder.budgets.status("")
    # What the request that runs holds comes back when it ends.
    left = window.remaining + window.held
    return stage.recorder.budgets.hold("", left - joules["a"] + 0.5, None)


async def test_a_plan_that_no_longer_fits_a_window_gives_way_to_one_that_does() -> None:
    async with running_dispatcher(
        MODELS, limits=AMPLE, routing=ROUTING, settings=ONE_AT_A_TIME, knowledge=A_IS_BETTER
    ) as stage:
        await measured(stage)
        asked = ask(AutoPlan(), stopping=SHORT)
        assert stage.dispatcher.explain(asked).route.name == "single:a"
        async with busy(stage):
            waiting = await queued(stage, AutoPlan(), stopping=SHORT)
            hold = fill(stage)
        events = await waiting
        assert events[0].decision.route.name == "single:b"  # type: ignore[union-attr]
        assert text_of(events) == "two"
        # Nobody named a plan, and this is the one that was decided on in the end.
        assert notices(events) == []
        stage.recorder.budgets.release(hold)
        assert stage.held() == [0.0]
        *_, broken_off, last = await stage.charges()
        assert (broken_off.outcome, last.outcome) == ("cancelled", "finished")


@pytest.mark.parametrize("asked", [ProfilePlan("p"), None, only("a")])
async def test_a_named_plan_stays_whatever_filled_meanwhile_unless_another_may_answer(
    asked: Any,
) -> None:
    async with running_dispatcher(
        MODELS,
        limits=AMPLE,
        routing=ROUTING,
        settings=ONE_AT_A_TIME,
        profiles={"p": only("a")},
        default_profile="p",
    ) as stage:
        await measured(stage)
        opened = stage.sessions_opened("b")
        async with busy(stage):
            waiting = await queued(stage, asked, stopping=SHORT)
            lenient = asyncio.create_task(
                answer(stage, asked, stopping=SHORT, allow_substitution=True)
            )
            await until(lambda: stage.dispatcher.waiting == 2)
            hold = fill(stage)
        with pytest.raises(BudgetSpent, match="joules per hour"):
            await waiting
        events = await lenient
        assert text_of(events) == "two"
        [told] = notices(events)
        assert told.kind is NoticeKind.SUBSTITUTED
        assert "are left of the window" in told.message
        stage.recorder.budgets.release(hold)
        assert stage.sessions_opened("b") == opened + 2
        assert stage.held() == [0.0]


async def test_a_model_that_was_unloaded_meanwhile_is_not_tried() -> None:
    async with running_dispatcher(MODELS, settings=ONE_AT_A_TIME, routing=ROUTING) as stage:
        async with busy(stage):
            open_choice = await queued(stage, AutoPlan())
            named = asyncio.create_task(answer(stage, only("a")))
            await until(lambda: stage.dispatcher.waiting == 2)
            await stage.fleet.unload("a")
        events = await open_choice
        assert text_of(events) == "two"
        assert notices(events) == []
        with pytest.raises(ModelUnusable, match="is not loaded"):
            await named
        assert [row.outcome for row in await stage.charges()] == ["cancelled", "finished"]


@pytest.mark.parametrize("policy", FailurePolicy)
async def test_a_member_that_was_unloaded_meanwhile_is_none_that_was_lost(
    policy: FailurePolicy,
) -> None:
    pair = Plan((WeightedModel("a"), WeightedModel("b")), on_failure=policy)
    async with running_dispatcher(MODELS, settings=ONE_AT_A_TIME, routing=ROUTING) as stage:
        async with busy(stage):
            named = await queued(stage, pair)
            await stage.fleet.unload("a")
        with pytest.raises(ModelUnusable, match="a: is not loaded"):
            await named
        assert stage.dispatcher.running == 0


async def test_who_waited_too_long_for_its_own_limit_is_refused_where_that_is_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rejecting = RoutingSettings(exploration=0.0, policy="reject")
    async with running_dispatcher(MODELS, settings=ONE_AT_A_TIME, routing=rejecting) as stage:
        await answer(stage, only("a"))
        hour_ms = 3_600_000.0
        async with busy(stage):
            waiting = await queued(stage, only("a"), budget=Budget(latency_ms=hour_ms))
            monkeypatch.setattr(Stopwatch, "duration_ms", property(lambda _: hour_ms))
        with pytest.raises(OverBudget) as refusal:
            await waiting
        assert refusal.value.metadata == {"clause": "latency"}


async def test_a_score_is_decided_anew_as_well() -> None:
    async with running_dispatcher(MODELS, settings=ONE_AT_A_TIME, routing=ROUTING) as stage:
        async with busy(stage):
            asked = ScoreRequest(TextPrompt("x"), "two", AutoPlan())
            waiting = asyncio.create_task(stage.dispatcher.score(asked))
            await until(lambda: stage.dispatcher.waiting)
            await stage.fleet.unload("a")
        score = await waiting
        assert [member.model for member in score.decision.members] == ["b"]


@pytest.mark.parametrize("scores", [False, True])
async def test_what_waited_is_decided_anew_in_its_turn_of_the_loop(
    scores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_dispatcher(MODELS, settings=ONE_AT_A_TIME, routing=ROUTING) as stage:
        dispatcher, order = stage.dispatcher, list[str]()
        decide = dispatcher._router.decide_for_score if scores else dispatcher._router.decide

        async def entered() -> None:
            order.append("turn")

        def decided(*args: Any, **rest: Any) -> Any:
            order.append("decision")
            return decide(*args, **rest)

        async def ask_for_it() -> None:
            if scores:
                await dispatcher.score(ScoreRequest(TextPrompt("x"), "y", plan=only("a")))
            else:
                await answer(stage, only("a"))

        async with busy(stage):
            monkeypatch.setattr(dispatcher.turns, "enter", entered)
            monkeypatch.setattr(dispatcher._router, decide.__name__, decided)
            task = asyncio.create_task(ask_for_it())
            await until(lambda: dispatcher.waiting)
            assert order == ["decision"]
        await task
        assert order[:3] == ["decision", "turn", "decision"]
