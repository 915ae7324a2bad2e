"""What can never be served is refused as such, whatever budget, queue or limit is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.dispatch import DispatchSettings
from quorate.dispatch.settings import CallerLimits
from quorate.errors import (
    BudgetSpent,
    InvalidRequest,
    LimitReached,
    NotFound,
    Overloaded,
    PromptTooLong,
    QuorateError,
)
from quorate.ledger.settings import BudgetLimits
from quorate.request import AutoPlan, Plan, ScoreRequest, TextPrompt, WeightedModel
from quorate.routing.settings import RoutingSettings
from support.dispatching import (
    DEADLINE_SECONDS,
    DispatcherHarness,
    answer,
    ask,
    only,
    running_dispatcher,
    steps,
)

MODELS = {"small": {"say": "one", "context_length": 128}, "a": {"say": "one two"}}
TOO_LONG = "x" * 600
FITS = "x" * 400
LIMITED = {"alice": CallerLimits(requests_per_minute=1)}


@asynccontextmanager
async def out_of_joules(**rest: Any) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(
        MODELS, limits=BudgetLimits(joules_per_hour=4.0), **rest
    ) as stage:
        await answer(stage, only("a"))
        yield stage


@asynccontextmanager
async def full(**rest: Any) -> AsyncIterator[DispatcherHarness]:
    settings = DispatchSettings(max_running=1, max_waiting=0)
    async with running_dispatcher(MODELS, settings=settings, **rest) as stage:
        running = stage.dispatcher.generate(ask(only("a")))
        await anext(running)
        yield stage
        await running.aclose()


@asynccontextmanager
async def used_up(**rest: Any) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(MODELS, **rest) as stage:
        stage.dispatcher.change({}, "", LIMITED)
        await told(stage, only("a"), "x")
        await answer(stage, only("small"))
        yield stage


async def told(stage: DispatcherHarness, plan: Any, text: str, **rest: Any) -> QuorateError | None:
    """What a request of alice is refused with; None where it is answered."""
    request = ask(plan, text, key="alice", **rest)
    try:
        async for _ in stage.dispatcher.generate(request):
            pass
    except QuorateError as error:
        return error
    return None


async def scored(stage: DispatcherHarness, prompt: str, continuation: str) -> QuorateError | None:
    request = ScoreRequest(TextPrompt(prompt), continuation, plan=only("a"), key="alice")
    try:
        await stage.dispatcher.score(request)
    except QuorateError as error:
        return error
    return None


IN_THE_WAY = [(out_of_joules, BudgetSpent), (full, Overloaded), (used_up, LimitReached)]


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_a_prompt_that_is_too_long_is_told_so_whatever_is_in_the_way(
    scene: Any, passing: type[QuorateError]
) -> None:
    async with scene() as stage:
        error = await told(stage, only("a"), TOO_LONG)
        assert isinstance(error, PromptTooLong)
        assert (error.field, "for model a" in error.problem) == ("prompt", True)
        assert isinstance(await told(stage, only("a"), FITS), passing)
        assert stage.sessions_opened("a") == 1


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_an_unknown_model_is_told_so_whatever_is_in_the_way(
    scene: Any, passing: type[QuorateError]
) -> None:
    async with scene() as stage:
        assert isinstance(await told(stage, only("nobody"), "x"), NotFound)
        nothing = Plan((WeightedModel("a", 0.0),))
        assert isinstance(await told(stage, nothing, "x"), InvalidRequest)


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_a_text_to_score_that_is_too_long_is_told_so_whatever_is_in_the_way(
    scene: Any, passing: type[QuorateError]
) -> None:
    async with scene() as stage:
        for prompt, continuation, field in (
            (TOO_LONG, "x", "prompt"),
            ("x", TOO_LONG, "continuation"),
            (FITS, FITS, "continuation"),
        ):
            error = await scored(stage, prompt, continuation)
            assert isinstance(error, PromptTooLong)
            assert error.field == field
        assert isinstance(await scored(stage, FITS, "x"), passing)


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_a_cascade_is_refused_for_ever_only_where_no_stage_holds_the_prompt(
    scene: Any, passing: type[QuorateError]
) -> None:
    async with scene() as stage:
        for plan in (steps("small", "a"), steps("a", "small")):
            assert isinstance(await told(stage, plan, FITS), passing)
            assert isinstance(await told(stage, plan, TOO_LONG), PromptTooLong)


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_where_another_plan_would_do_later_its_refusal_is_told(
    scene: Any, passing: type[QuorateError]
) -> None:
    routing = RoutingSettings(exploration=0.0, candidates=("small", "a"))
    async with scene(routing=routing) as stage:
        assert stage.dispatcher.explain(ask(AutoPlan())).route.name == "single:small"
        assert isinstance(await told(stage, AutoPlan(), "x" * 300), passing)
        assert isinstance(await told(stage, AutoPlan(), TOO_LONG), PromptTooLong)
        for allowed, expected in ((True, passing), (False, PromptTooLong)):
            error = await told(stage, only("small"), "x" * 300, allow_substitution=allowed)
            assert isinstance(error, expected)


@pytest.mark.parametrize(("scene", "passing"), IN_THE_WAY)
async def test_the_members_are_asked_about_one_refused_request_of_a_caller_at_once(
    scene: Any, passing: type[QuorateError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene() as stage:
        engine = stage.cast.engines["a"]
        encode, goes_on = engine.encode, asyncio.Event()
        encoded: list[str] = []

        async def counted(prompt: Any) -> list[int]:
            encoded.append(prompt.text)
            await goes_on.wait()
            return await encode(prompt)

        monkeypatch.setattr(engine, "encode", counted)
        asked = [asyncio.ensure_future(told(stage, only("a"), TOO_LONG)) for _ in range(50)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE_SECONDS)
        goes_on.set()
        errors = await asyncio.gather(*asked)
        assert len(encoded) == 1
        assert [isinstance(one, PromptTooLong) for one in errors].count(True) == 1
        assert [isinstance(one, passing) for one in errors].count(True) == 49
        assert isinstance(await told(stage, only("a"), TOO_LONG), PromptTooLong)


async def test_members_that_are_busy_do_not_hold_a_refusal_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quorate.dispatch.futile._PATIENCE_SECONDS", 0.01)
    async with out_of_joules() as stage:

        async def never(prompt: Any) -> list[int]:
            await asyncio.Event().wait()
            return []

        monkeypatch.setattr(stage.cast.engines["a"], "encode", never)
        assert isinstance(await told(stage, only("a"), TOO_LONG), BudgetSpent)
