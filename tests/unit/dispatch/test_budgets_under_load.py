"""Joules are never overspent, whoever comes, leaves or fails, and at whatever moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.dispatch import DispatchSettings
from quorate.errors import BudgetSpent
from quorate.ledger.settings import BudgetLimits
from quorate.request import Accepted, AutoPlan, Finished, ProfilePlan, StoppingOptions
from support.dispatching import (
    DEADLINE_SECONDS,
    DispatcherHarness,
    SimulatedMeter,
    ask,
    only,
    running_dispatcher,
    steps,
)
from support.ledgers import reservations

MODELS = {"a": {"say": "0123456789", "sessions": 32}}
JOULES = 10.0
"""What an answer takes: one for each of its tokens."""
LIMIT = StoppingOptions(max_tokens=11)
AMPLE = BudgetLimits(joules_per_hour=1e6)


@asynccontextmanager
async def limited(
    limits: BudgetLimits = AMPLE, meter: SimulatedMeter | None = None
) -> AsyncIterator[DispatcherHarness]:
    async with (
        running_dispatcher(MODELS, limits=limits, meter=meter) as stage,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        yield stage


async def assert_two_begin_at_once(stage: DispatcherHarness) -> None:
    both = [stage.dispatcher.generate(ask(only("a"))) for _ in range(2)]
    for events in both:
        assert isinstance(await anext(events), Accepted)
    for events in both:
        await events.aclose()


async def one(stage: DispatcherHarness, plan: Any = None) -> str:
    """How a request ended."""
    begun = False
    try:
        async for event in stage.dispatcher.generate(ask(plan, stopping=LIMIT)):
            begun = begun or isinstance(event, Accepted)
            if isinstance(event, Finished):
                return "finished"
    except BudgetSpent:
        assert not begun
        return "refused"
    raise AssertionError("a stream ended without an end")


async def to_its_end(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


def spent(stage: DispatcherHarness) -> float:
    [window] = stage.recorder.budgets.status("")
    return window.spent


async def warm(stage: DispatcherHarness, requests: int = 12) -> None:
    """Measures the model."""
    for _ in range(requests):
        assert await one(stage, only("a")) == "finished"


@pytest.mark.parametrize("measured", [False, True])
async def test_a_thousand_at_once_spend_no_more_than_a_budget_for_a_hundred(measured: bool) -> None:
    before = 12 if measured else 0
    limit = JOULES * (100 + before)
    chance = random.Random(1)
    async with (
        running_dispatcher(
            MODELS,
            limits=BudgetLimits(joules_per_hour=limit),
            settings=DispatchSettings(max_running=64, max_waiting=1000),
        ) as stage,
        asyncio.timeout(4 * DEADLINE_SECONDS),
    ):
        await warm(stage, before)
        asked = [asyncio.create_task(one(stage, only("a"))) for _ in range(1000)]
        # So many and no more, however many turns of the loop a busy machine takes.
        leaving = iter(chance.sample(asked, 200))
        while not all(task.done() for task in asked):
            await asyncio.sleep(0)
            if chance.random() < 0.05 and (task := next(leaving, None)):
                task.cancel()
        ends = [
            "cancelled" if isinstance(end, asyncio.CancelledError) else end
            for end in await asyncio.gather(*asked, return_exceptions=True)
        ]
        assert set(ends) == {"finished", "refused", "cancelled"}
        assert ends.count("finished") <= 100
        assert ends.count("finished") > 50
        assert spent(stage) <= limit
        assert stage.held() == [0.0]
        assert stage.meter.jobs == set()
        rows = await stage.charges()
        assert sum(row.joules or 0.0 for row in rows) == pytest.approx(spent(stage))


async def test_of_a_plan_nobody_measured_one_request_goes_first() -> None:
    async with limited() as stage:
        first = stage.dispatcher.generate(ask(only("a")))
        assert isinstance(await anext(first), Accepted)
        others = [asyncio.create_task(one(stage, only("a"))) for _ in range(3)]
        for _ in range(50):
            await asyncio.sleep(0)
        assert stage.recorder.activity.now == {"a": 1}
        most, held = 0, [0.0]
        ending = asyncio.create_task(to_its_end(first))
        while not all(other.done() for other in others):
            if stage.recorder.activity.now["a"] > most:
                most, held = stage.recorder.activity.now["a"], stage.held()
            await asyncio.sleep(0)
        await ending
        assert (most, held) == (3, [3 * JOULES])
        assert await asyncio.gather(*others) == ["finished"] * 3


async def test_one_that_went_first_and_left_lets_the_next_go_first() -> None:
    async with limited() as stage:
        first = stage.dispatcher.generate(ask(only("a")))
        await anext(first)
        others = [asyncio.create_task(one(stage, only("a"))) for _ in range(3)]
        for _ in range(50):
            await asyncio.sleep(0)
        others[0].cancel()
        await first.aclose()
        while stage.recorder.activity.now["a"] < 1:
            await asyncio.sleep(0)
        assert stage.recorder.activity.now == {"a": 1}
        assert await asyncio.gather(*others[1:]) == ["finished"] * 2


async def test_where_no_joules_are_limited_or_none_are_metered_nobody_waits() -> None:
    class Blind(SimulatedMeter):
        def totals(self) -> dict[str, Any]:
            return {}

    async with limited(BudgetLimits(usd_per_day=1.0)) as stage:
        await assert_two_begin_at_once(stage)
    async with limited(BudgetLimits(joules_per_hour=1.0), Blind()) as stage:
        await assert_two_begin_at_once(stage)


async def test_a_meter_that_never_knows_does_not_make_everybody_wait_for_ever() -> None:
    async with limited(meter=SimulatedMeter(known=False)) as stage:
        assert await one(stage, only("a")) == "finished"
        await assert_two_begin_at_once(stage)


@pytest.mark.parametrize("seed", range(4))
async def test_a_request_may_be_cancelled_at_any_point(seed: int, tmp_path: Path) -> None:
    """Every run is cancelled after another number of turns of the loop; plans of all kinds."""
    models = {
        "a": {"say": "maybe", "confidence": 0.3},
        "b": {"say": "surely"},
        "w": {"say": "words", "vocabulary": "words"},
    }
    cascades = steps("a", "b"), steps("a", "b", early=True)
    plans = (AutoPlan(), ProfilePlan("both"), only("b"), *cascades)
    limits = BudgetLimits(joules_per_hour=1e6, usd_per_hour=1.0)
    chance, path = random.Random(seed), tmp_path / "ledger.db"
    async with (
        running_dispatcher(
            models, limits=limits, ledger_path=path, profiles={"both": steps("b", "a")}
        ) as stage,
        asyncio.timeout(2 * DEADLINE_SECONDS),
    ):
        for turn in range(120):
            asked = [
                asyncio.create_task(one(stage, chance.choice(plans)))
                for _ in range(chance.randrange(1, 4))
            ]
            for _ in range(turn):
                await asyncio.sleep(0)
            if not chance.randrange(10):
                engine = stage.cast.engines["a"]
                engine.lose("killed by SIGKILL")
                engine.recover()
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            assert stage.held() == [0.0, 0.0]
            assert stage.meter.jobs == set()
            assert set(stage.recorder.activity.now.values()) <= {0}
            assert stage.dispatcher.running == stage.dispatcher.waiting == 0
            assert not any(engine.open_sessions for engine in stage.cast.engines.values())
        rows = await stage.charges()
        assert {"cancelled"} <= {row.outcome for row in rows} <= {"cancelled", "finished", "failed"}
        assert reservations(path) == 0
