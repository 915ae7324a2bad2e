"""Requests that a remote answers, on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from quorate.errors import BudgetSpent, QuorateError, RemoteFailed, Unavailable
from quorate.ledger.settings import BudgetLimits
from quorate.request import (
    Accepted,
    AutoPlan,
    Budget,
    Clause,
    Event,
    Finished,
    Request,
    StoppingOptions,
)
from quorate.routing.settings import RoutingSettings
from support.dispatching import (
    DEADLINE_SECONDS,
    GREEDY,
    NEVER_EXPLORE,
    DispatcherHarness,
    notices,
    only,
    running_dispatcher,
    text_of,
)
from support.faulty_remote import CUT, HOLD, FaultyRemote, delta, faulty_remote, refuses, streams
from support.remotes import CHAT, opened
from support.routing_cases import usd_per_mtok

SPENT = BudgetLimits(joules_per_hour=0.0, usd_per_day=1.0)
"""No joule is left, so that only a remote may answer."""
PRICES = {"far": usd_per_mtok(1000.0, 2000.0)}


@asynccontextmanager
async def both(
    *script: Any, limits: BudgetLimits | None = None, routing: RoutingSettings = NEVER_EXPLORE
) -> AsyncIterator[tuple[DispatcherHarness, FaultyRemote]]:
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        faulty_remote(*script) as server,
        opened(server.base_url, max_retries=0) as remote,
        running_dispatcher(
            {"a": {"say": "local"}},
            limits=limits,
            routing=routing,
            remotes={"far": remote},
            price=PRICES.get,
        ) as stage,
    ):
        yield stage, server


def ask(plan: Any = None, **rest: Any) -> Request:
    return Request(CHAT, plan, **{"sampling": GREEDY, "stopping": StoppingOptions(16), **rest})


async def answer(stage: DispatcherHarness, request: Request) -> list[Event]:
    return [event async for event in stage.dispatcher.generate(request)]


async def test_a_remote_answers_where_no_joule_is_left_and_is_paid() -> None:
    async with both(limits=SPENT) as (stage, server):
        events = await answer(stage, ask())
        accepted = events[0]
        assert isinstance(accepted, Accepted)
        assert accepted.decision.route.remote == "far"
        assert accepted.decision.route.over_budget is not None
        assert accepted.decision.route.over_budget.clause is Clause.ENERGY_WINDOW
        assert text_of(events) == "Hello there"
        assert len(server.requests) == 1
        last = events[-1]
        assert isinstance(last, Finished)
        assert (last.usage.prompt_tokens, last.usage.generated_tokens) == (7, 2)
        [usage] = last.usage.models
        assert (usage.model, usage.prompt_tokens, usage.generated_tokens) == ("far", 7, 2)
        assert usage.usd == pytest.approx(7 * 0.001 + 2 * 0.002)
        [row] = await stage.charges()
        assert (row.plan_kind, row.clause) == ("remote", "energy_window")
        assert float(row.usd or 0) == usage.usd
        assert stage.held() == [0.0, 0.0]
        assert "remote:far" in stage.recorder.costs.snapshot()
        assert stage.dispatcher.running == 0


async def test_a_remote_answers_where_the_model_is_lost_before_it_began() -> None:
    async with both() as (stage, server):
        stage.cast.engines["a"].lose("killed by SIGKILL")
        events = await answer(stage, ask(AutoPlan()))
        assert text_of(events) == "Hello there"
        assert len(notices(events)) == 1
        assert [row.plan_kind for row in await stage.charges()] == ["single", "remote"]
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "request_",
    [ask(), ask(only("a")), ask(budget=Budget(latency_ms=1e9, energy_joules=1e9, usd=1.0))],
    ids=["plain", "spelled out", "within budget"],
)
async def test_a_remote_is_not_asked_where_a_local_plan_will_do(request_: Request) -> None:
    async with both() as (stage, server):
        assert text_of(await answer(stage, request_)) == "local"
        assert server.requests == []


@pytest.mark.parametrize("whose", ["request", "server"])
async def test_nothing_is_sent_where_nothing_may_leave(whose: str) -> None:
    routing = RoutingSettings(exploration=0.0, local_only=whose == "server")
    async with both(limits=SPENT, routing=routing) as (stage, server):
        with pytest.raises(BudgetSpent):
            await answer(stage, ask(local_only=whose == "request"))
        stage.cast.engines["a"].lose("killed by SIGKILL")
        with pytest.raises(QuorateError):
            await answer(stage, ask(local_only=whose == "request"))
        assert server.requests == []
        assert await stage.charges() == []


async def test_a_remote_that_refuses_costs_nothing_and_the_first_error_is_told() -> None:
    async with both(refuses(503), limits=BudgetLimits(usd_per_day=1.0)) as (stage, server):
        stage.cast.engines["a"].lose("killed by SIGKILL")
        with pytest.raises(Unavailable, match="model a is restarting"):
            await answer(stage, ask())
        assert len(server.requests) == 1
        local, remote = await stage.charges()
        assert (local.plan_kind, local.outcome) == ("single", "failed")
        assert (remote.plan_kind, remote.outcome, remote.usd) == ("remote", "failed", 0)
        assert [window.spent for window in stage.recorder.budgets.status("")] == [0.0]
        assert stage.held() == [0.0]


async def test_a_stream_that_is_closed_pays_for_the_prompt_and_what_was_streamed() -> None:
    script = streams(delta("Hello"), HOLD)
    async with both(script, limits=SPENT) as (stage, server):
        events = stage.dispatcher.generate(ask())
        assert isinstance(await anext(events), Accepted)
        await anext(events)
        await server.holding.wait()
        await events.aclose()
        await server.client_left()
        [row] = await stage.charges()
        assert row.outcome == "cancelled"
        assert 1 <= row.generated_tokens <= len("Hello")
        assert row.usd is not None and row.reserved_usd is not None
        assert 0 < row.usd < row.reserved_usd
        _, usd = stage.recorder.budgets.status("")
        assert (usd.spent, usd.held) == (pytest.approx(float(row.usd)), 0.0)


async def test_a_remote_that_fails_in_the_middle_is_not_replaced() -> None:
    async with both(streams(delta("Hello"), CUT), limits=SPENT) as (stage, _):
        events = stage.dispatcher.generate(ask())
        assert isinstance(await anext(events), Accepted)
        with pytest.raises(RemoteFailed):
            async for _ in events:
                pass
        [row] = await stage.charges()
        assert row.outcome == "failed"
        assert row.usd is not None and row.usd > 0
        assert stage.held() == [0.0, 0.0]


async def test_many_at_once_never_reserve_more_dollars_than_there_are() -> None:
    """One request may cost some 0.2 USD, and there is one dollar."""
    async with both(limits=SPENT) as (stage, server):
        ends = await asyncio.gather(
            *(answer(stage, ask()) for _ in range(30)), return_exceptions=True
        )
        finished = [end for end in ends if isinstance(end, list)]
        assert 0 < len(finished) < 30
        assert len(server.requests) == len(finished)
        assert all(isinstance(end, list | BudgetSpent) for end in ends)
        _, usd = stage.recorder.budgets.status("")
        assert usd.held == 0.0
        assert usd.spent == pytest.approx(len(finished) * 0.011)
