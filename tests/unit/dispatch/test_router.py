"""From a request and the state of the service to a decision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.dispatch.admission_queue import AdmissionQueue
from quorate.dispatch.recorder import AttemptRecorder
from quorate.dispatch.router import Router
from quorate.errors import QuorateError
from quorate.ledger.budgets import Budgets
from quorate.ledger.prices import Price
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.remotes import Remote
from quorate.request import (
    AutoPlan,
    Budget,
    Clause,
    Decision,
    FailurePolicy,
    NamedPlan,
    Request,
    SamplingOptions,
    ScoreRequest,
    TextPrompt,
)
from quorate.routing.candidates import open_plans
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import ResolvedPlan, Snapshot
from support.dispatching import ask, only, running_dispatcher, steps
from support.managed_engines import Cast, loaded_fleet
from support.remotes import CHAT, opened
from support.routing_cases import clauses, usd_per_mtok

LIMITS = BudgetSettings(
    BudgetLimits(joules_per_hour=100.0, joules_per_day=50.0),
    {"alice": BudgetLimits(joules_per_hour=7.0)},
)
ROUTING = RoutingSettings(candidates=("a", "b"), exploration=0.5, policy="reject")


@asynccontextmanager
async def routing(
    profiles: Mapping[str, NamedPlan] | None = None,
    remotes: Mapping[str, Remote] | None = None,
    prices: Mapping[str, Price] | None = None,
    draw: float = 1.0,
    settings: RoutingSettings = ROUTING,
) -> AsyncIterator[tuple[Router, Any, AttemptRecorder, AdmissionQueue]]:
    fleet = await loaded_fleet(Cast(), a={"say": "one"}, b={"say": "two"})
    recorder, queue = AttemptRecorder(Budgets(LIMITS)), AdmissionQueue(1, 0)
    known = dict(prices or {})
    router = Router(
        fleet, queue, recorder, settings, profiles or {}, "", remotes, known.get, draw=lambda: draw
    )
    try:
        yield router, fleet, recorder, queue
    finally:
        await fleet.close()


def decided(router: Router, request: Request, **rest: Any) -> Decision:
    return router.decide(request, 16, **rest)


async def test_the_seed_of_the_request_is_kept_and_another_is_drawn_afresh() -> None:
    async with routing() as (router, *_):
        seeded = ask(AutoPlan(), sampling=SamplingOptions(seed=0))
        assert decided(router, seeded).seed == 0
        drawn = {decided(router, ask(AutoPlan())).seed for _ in range(5)}
        assert len(drawn) == 5
        assert all(0 <= seed < 2**53 for seed in drawn)


async def test_the_draw_decides_whether_a_plan_is_tried() -> None:
    async with routing(draw=0.0) as (router, *_):
        assert decided(router, ask(AutoPlan())).route.explored
    async with routing(draw=0.5) as (router, *_):
        assert not decided(router, ask(AutoPlan())).route.explored


@pytest.mark.parametrize(("key", "left"), [("", 50.0), ("bob", 50.0), ("alice", 7.0)])
async def test_the_tightest_window_of_the_caller_counts(key: str, left: float) -> None:
    async with routing() as (router, _, recorder, _):
        hold = recorder.budgets.hold(key, left, None)
        over = decided(router, ask(AutoPlan(), key=key)).route.over_budget
        assert over is not None
        assert over.clause is Clause.ENERGY_WINDOW
        recorder.budgets.release(hold)
        assert decided(router, ask(AutoPlan(), key=key)).route.over_budget is None


async def test_a_full_queue_is_seen() -> None:
    async with routing() as (router, _, _, queue):
        async with queue.admit():
            over = decided(router, ask(AutoPlan())).route.over_budget
            assert over is not None and over.clause is Clause.CAPACITY
        assert decided(router, ask(AutoPlan())).route.over_budget is None


async def test_plans_are_made_anew_only_when_a_model_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Snapshot] = []

    def counted(snapshot: Snapshot) -> tuple[ResolvedPlan, ...]:
        made.append(snapshot)
        return open_plans(snapshot)

    monkeypatch.setattr("quorate.dispatch.router.open_plans", counted)
    async with routing() as (router, fleet, *_):
        first = decided(router, ask(AutoPlan()))
        assert decided(router, ask(AutoPlan())).route.candidates == first.route.candidates
        assert len(made) == 1
        await fleet.unload("a")
        assert clauses(decided(router, ask(AutoPlan()))) == {
            "single:a": [Clause.HEALTH],
            "single:b": [],
        }
        await fleet.load("a")
        assert decided(router, ask(AutoPlan())).route.candidates == first.route.candidates


async def test_what_is_known_of_a_remote_reaches_the_decision() -> None:
    price = usd_per_mtok(1.0, 1.0)
    async with (
        opened("http://127.0.0.1:9/v1", tasks=["law"], context_length=5) as remote,
        routing(remotes={"far": remote}, prices={"far": price}) as (router, *_),
    ):
        sampling = SamplingOptions(min_p=0.5)
        asked = Request(CHAT, AutoPlan(), sampling, budget=Budget(usd=0.0))
        decision = decided(router, asked, failed=frozenset({"remote:far"}))
        told = {one.clause: one.message for one in decision.route.candidates[-1].rejections}
        assert list(told) == [
            Clause.FAILED_BEFORE,
            Clause.UNSUPPORTED,
            Clause.TASK,
            Clause.CONTEXT,
            Clause.USD,
        ]
        assert "min_p" in told[Clause.UNSUPPORTED]
        await remote.close()
        decision = decided(router, asked)
        assert "it is closed" in [one.message for one in decision.route.candidates[-1].rejections]


async def test_without_a_price_list_no_remote_has_a_price() -> None:
    async with (
        opened("http://127.0.0.1:9/v1") as remote,
        routing(remotes={"far": remote}) as (router, *_),
    ):
        far = decided(router, Request(CHAT, AutoPlan())).route.candidates[-1]
        assert [one.clause for one in far.rejections] == [Clause.PRICE_UNKNOWN]
        assert router.price("far") is None
        assert router.price("") is None


@pytest.mark.parametrize("plan", [AutoPlan(), only("a"), None])
async def test_a_score_drops_no_member_and_leaves_no_machine(plan: Any) -> None:
    async with (
        opened("http://127.0.0.1:9/v1") as remote,
        routing(remotes={"far": remote}, prices={"far": usd_per_mtok(0, 0)}) as (router, *_),
    ):
        decision = router.decide_for_score(ScoreRequest(TextPrompt("x"), "hello", plan))
        assert decision.on_failure is FailurePolicy.REPLAY
        assert "remote:far" not in clauses(decision)
    kept = only("a", FailurePolicy.FAIL)
    async with routing() as (router, *_):
        decision = router.decide_for_score(ScoreRequest(TextPrompt("x"), "hello", kept))
        assert decision.on_failure is FailurePolicy.FAIL


async def test_a_score_is_given_by_one_vote() -> None:
    profiles = {"steps": steps("a", "b")}
    settings = RoutingSettings(candidates=("steps", "b"))
    async with routing(profiles, settings=settings) as (router, *_):
        decision = router.decide_for_score(ScoreRequest(TextPrompt("x"), "hello", AutoPlan()))
        assert decision.route.name == "single:b"
    async with running_dispatcher({"a": {}, "b": {}}) as stage:
        request = ScoreRequest(TextPrompt("x"), "hello", steps("a", "b"))
        with pytest.raises(QuorateError, match="cascade:a>b: a cascade cannot score a text"):
            await stage.dispatcher.score(request)


async def test_a_model_that_makes_no_progress_is_left_alone() -> None:
    cast = Cast()
    fleet = await loaded_fleet(cast, a={}, b={})
    router = Router(fleet, AdmissionQueue(1, 0), AttemptRecorder(), ROUTING, {})
    cast.engines["a"].wedged = True
    assert decided(router, ask(AutoPlan())).route.name == "single:b"
    await fleet.close()
