"""What becomes of a request whose plan fails before its first byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from quorate.dispatch import DispatchSettings
from quorate.dispatch.router import Router
from quorate.errors import (
    BudgetSpent,
    ModelUnusable,
    Overloaded,
    PromptTooLong,
    QuorateError,
    Unavailable,
    WorkerLost,
)
from quorate.ledger.settings import BudgetLimits
from quorate.request import (
    Accepted,
    AutoPlan,
    Decision,
    FailurePolicy,
    Finished,
    Notice,
    NoticeKind,
    ProfilePlan,
)
from quorate.routing.settings import RoutingSettings
from support.dispatching import answer, ask, notices, only, running_dispatcher, text_of, until

MODELS = {"a": {"say": "one"}, "b": {"say": "two"}}
ROUTING = RoutingSettings(exploration=0.0, candidates=("a", "b"))
PROFILES = {"p": only("a", FailurePolicy.FAIL)}


async def test_the_next_best_plan_answers_and_each_attempt_has_its_row() -> None:
    async with running_dispatcher(MODELS, routing=ROUTING) as stage:
        stage.cast.engines["a"].lose("killed by SIGKILL")
        events = await answer(stage, AutoPlan(), request_id="r")
        assert isinstance(events[0], Accepted)
        assert events[0].decision.route.name == "single:b"
        assert text_of(events) == "two"
        [notice] = notices(events)
        assert (notice.kind, notice.model) == (NoticeKind.FELL_BACK, "a")
        assert notice.message.startswith("single:a failed before its first byte: ")
        assert notice.message.endswith("; single:b answers")
        rows = await stage.charges()
        assert [row.request_id for row in rows] == ["r", "r"]
        assert [row.outcome for row in rows] == ["failed", "finished"]
        assert len({row.attempt_id for row in rows}) == 2
        considered = {one["name"]: one for one in json.loads(rows[1].candidates)}
        assert considered["single:a"]["rejections"][0]["clause"] == "failed_before"
        assert considered["single:b"]["chosen"]


SPELLED_OUT = only("a", FailurePolicy.FAIL)
NAMED = [ProfilePlan("p"), None, SPELLED_OUT]
"""By its profile, as the default profile, spelled out."""


@pytest.mark.parametrize("asked", NAMED)
async def test_a_named_plan_gives_way_with_leave_and_says_so(asked: Any) -> None:
    async with running_dispatcher(MODELS, profiles=PROFILES, default_profile="p") as stage:
        stage.cast.engines["a"].lose("killed by SIGKILL")
        events = await answer(stage, asked, allow_substitution=True)
        name = "single:a" if asked is SPELLED_OUT else "profile:p"
        assert text_of(events) == "two"
        assert events[0].decision.route.name == "single:b"  # type: ignore[union-attr]
        assert events[0].decision.route.instead_of == name  # type: ignore[union-attr]
        told = notices(events)[-1]
        assert (told.kind, told.model) == (NoticeKind.FELL_BACK, "a")
        assert "failed before its first byte: model a is restarting" in told.message
        assert told.message.endswith("; single:b answers")


@pytest.mark.parametrize("asked", NAMED)
async def test_a_named_plan_does_not_give_way_without_leave(asked: Any) -> None:
    async with running_dispatcher(MODELS, profiles=PROFILES, default_profile="p") as stage:
        stage.cast.engines["a"].lose("killed by SIGKILL")
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, asked)
        assert [row.outcome for row in await stage.charges()] == ["failed"]
        assert stage.sessions_opened("b") == 0


@pytest.mark.parametrize("asked", NAMED)
async def test_a_plan_that_stands_in_from_the_first_is_told_before_the_answer(asked: Any) -> None:
    allowing = RoutingSettings(exploration=0.0, allow_substitution=True)
    async with running_dispatcher(
        MODELS, profiles=PROFILES, default_profile="p", routing=allowing
    ) as stage:
        await stage.fleet.unload("a")
        events = await answer(stage, asked)
        name = "single:a" if asked is SPELLED_OUT else "profile:p"
        assert text_of(events) == "two"
        assert isinstance(events[0], Accepted)
        told = events[1]
        assert isinstance(told, Notice)
        assert (told.kind, told.model) == (NoticeKind.SUBSTITUTED, "a")
        assert told.message == (
            f"single:b answers instead of {name}: a: is not loaded; load it first (quorate load a, "
            "or LoadModel)"
        )
        assert len(notices(events)) == 1
        explained = stage.dispatcher.explain(ask(asked))
        assert explained.route.instead_of == name
        with pytest.raises(ModelUnusable):
            await answer(stage, asked, allow_substitution=False)


@pytest.mark.parametrize("asked", NAMED)
async def test_a_prompt_too_long_for_a_named_plan_names_its_member(asked: Any) -> None:
    models = {"a": {"context_length": 16}, "b": {"say": "two"}}
    async with running_dispatcher(models, profiles=PROFILES, default_profile="p") as stage:
        for text in ("x" * 40, "x" * 4000):
            with pytest.raises(PromptTooLong, match="model a") as refusal:
                await answer(stage, asked, text=text)
            assert refusal.value.field == "prompt"
        assert stage.sessions_opened("b") == 0
        events = await answer(stage, asked, text="x" * 40, allow_substitution=True)
        assert text_of(events) == "two"
        assert [told.kind for told in notices(events)] == [NoticeKind.FELL_BACK]


async def test_what_has_begun_ends_where_it_began() -> None:
    models = {"a": {"say": "one" * 50}, "b": {"say": "two"}}
    profiles = {"p": only("a", FailurePolicy.FAIL)}
    async with running_dispatcher(models, profiles=profiles, default_profile="p") as stage:
        events = stage.dispatcher.generate(ask())
        assert isinstance(await anext(events), Accepted)
        stage.cast.engines["a"].lose("killed by SIGKILL")
        with pytest.raises(WorkerLost):
            async for _ in events:
                pass
        assert [row.outcome for row in await stage.charges()] == ["failed"]
        assert stage.sessions_opened("b") == 0


async def test_where_every_plan_fails_the_first_error_is_told() -> None:
    async with running_dispatcher(MODELS, profiles=PROFILES, default_profile="p") as stage:
        for engine in stage.cast.engines.values():
            engine.lose("killed by SIGKILL")
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, None, allow_substitution=True)
        tried = [json.loads(row.plan)["members"] for row in await stage.charges()]
        assert tried == [{"a": 1.0}, {"b": 1.0}]


async def test_a_queue_that_is_full_is_not_tried_with_another_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every plan waits in the same queue."""
    settings = DispatchSettings(max_running=1, max_waiting=0)
    async with running_dispatcher(MODELS, settings=settings, routing=ROUTING) as stage:
        running = stage.dispatcher.generate(ask(AutoPlan()))
        await anext(running)
        decisions: list[Decision] = []
        decide = Router.decide

        def noted(*given: Any) -> Decision:
            decisions.append(decide(*given))
            return decisions[-1]

        monkeypatch.setattr(Router, "decide", noted)
        with pytest.raises(Overloaded):
            await answer(stage, AutoPlan())
        assert len(decisions) == 1
        await running.aclose()
        assert [row.outcome for row in await stage.charges()] == ["cancelled"]


async def test_a_window_without_room_refuses_before_anything_runs() -> None:
    limits = BudgetLimits(joules_per_hour=4.0)
    async with running_dispatcher(MODELS, limits=limits, routing=ROUTING) as stage:
        await answer(stage, only("a"))
        with pytest.raises(BudgetSpent, match="joules per hour"):
            await answer(stage, only("a"))
        assert stage.sessions_opened("a") == 1
        assert stage.held() == [0.0]
        [row] = await stage.charges()
        assert row.joules == 3.0


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_stays_held_however_an_attempt_ends(known: bool) -> None:
    limits = BudgetLimits(joules_per_hour=1e9, usd_per_day=1.0)
    async with running_dispatcher(MODELS, limits=limits, routing=ROUTING) as stage:
        stage.meter.known = known
        await answer(stage, AutoPlan())
        stopped = stage.dispatcher.generate(ask(AutoPlan()))
        await anext(stopped)
        await stopped.aclose()
        stage.cast.engines["a"].lose("killed by SIGKILL")
        with pytest.raises(Unavailable):
            await answer(stage, only("a", FailurePolicy.FAIL))
        stage.cast.engines["b"].lose("killed by SIGKILL")
        with pytest.raises(QuorateError):
            await answer(stage, AutoPlan())
        assert stage.held() == [0.0, 0.0]
        assert stage.meter.jobs == set()
        assert set(stage.recorder.activity.now.values()) == {0}


async def test_a_model_that_was_unloaded_while_the_request_waited_gives_way() -> None:
    settings = DispatchSettings(max_running=1)
    async with running_dispatcher(MODELS, settings=settings, routing=ROUTING) as stage:
        running = stage.dispatcher.generate(ask(only("b")))
        await anext(running)
        waiting = asyncio.create_task(answer(stage, AutoPlan()))
        await until(lambda: stage.dispatcher.waiting)
        await stage.fleet.unload("a")
        await running.aclose()
        events = await waiting
        assert text_of(events) == "two"
        assert isinstance(events[-1], Finished)
        with pytest.raises(ModelUnusable):
            await answer(stage, only("a"))
