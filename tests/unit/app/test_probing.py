from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from quorate.app.probing import Prober
from quorate.dispatch import AttemptRecorder, Dispatcher, DispatchSettings
from quorate.engines.worker.statuses import WorkerPhase
from quorate.fleet.fleet import Fleet
from quorate.ledger.charges import Charge
from quorate.ledger.ledger import Ledger
from quorate.request import (
    Plan,
    Request,
    SamplingOptions,
    StoppingOptions,
    TextPrompt,
    WeightedModel,
)
from support.managed_engines import Cast, loaded_fleet, scripted_source

DEADLINE_SECONDS = 30.0
TALKATIVE = {"say": "rain falls over the quiet harbour for ever and ever and ever"}


class House:
    """A dispatcher over models in the event loop, with a ledger in memory."""

    def __init__(self, fleet: Fleet, cast: Cast, ledger: Ledger) -> None:
        self.fleet = fleet
        self.cast = cast
        self.ledger = ledger
        self.dispatcher = Dispatcher(
            fleet, DispatchSettings(), recorder=AttemptRecorder(ledger=ledger)
        )

    async def rows(self) -> list[Charge]:
        """What stands in the ledger, oldest first."""
        await self.dispatcher.recorder.flush()
        rows, _ = await self.ledger.list_charges(page_size=1000)
        return list(rows)[::-1]

    async def rows_once(self, count: int) -> list[Charge]:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(rows := await self.rows()) < count:
                await asyncio.sleep(0)
        return rows


@asynccontextmanager
async def house(**models: dict[str, Any]) -> AsyncIterator[House]:
    cast = Cast()
    fleet = await loaded_fleet(cast, **models)
    ledger = Ledger.open(None)
    try:
        yield House(fleet, cast, ledger)
    finally:
        await fleet.close()
        await ledger.close()


@asynccontextmanager
async def probing(house: House, idle_seconds: float = 0.0) -> AsyncIterator[None]:
    task = asyncio.create_task(Prober(house.fleet, house.dispatcher, idle_seconds).run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def request(model: str, tokens: int = 4) -> Request:
    return Request(
        TextPrompt("x"),
        Plan((WeightedModel(model),)),
        sampling=SamplingOptions(temperature=0.0),
        stopping=StoppingOptions(max_tokens=tokens),
    )


async def test_a_model_is_asked_two_prompts_for_two_lengths_and_then_known() -> None:
    async with house(a=TALKATIVE) as here:
        async with probing(here):
            rows = await here.rows_once(4)
        known = here.dispatcher.recorder.costs.snapshot()["single:a"]
    assert [row.request_id for row in rows] == [f"probe-a-{n}" for n in (1, 2, 3, 4)]
    assert {row.outcome for row in rows} == {"probe"}
    # Sums by key tell them from what came without one.
    assert {row.key for row in rows} == {"(probes)"}
    assert [row.generated_tokens for row in rows] == [4, 24, 4, 24]
    short, _, long, _ = [row.prompt_tokens for row in rows]
    assert long > 2 * short
    # No probe found its prompt in the prefix cache.
    assert all(row.cached_prompt_tokens < short / 2 for row in rows)
    assert known.run.samples == 4


async def test_a_model_that_is_known_is_left_alone_and_a_new_one_is_not() -> None:
    async with house(a=TALKATIVE, b=TALKATIVE) as here:
        async for _ in here.dispatcher.generate(request("a")):
            pass
        async with probing(here):
            await here.rows_once(5)
            here.fleet.add(scripted_source("c", **TALKATIVE))
            await here.fleet.load("c")
            rows = await here.rows_once(9)
    assert [row.request_id.rpartition("-")[0] for row in rows[1:]] == ["probe-b"] * 4 + [
        "probe-c"
    ] * 4


async def test_nothing_is_probed_while_somebody_is_answered() -> None:
    async with house(a={**TALKATIVE, "step_delay_ms": 1.0}, b=TALKATIVE) as here:
        stream = here.dispatcher.generate(request("a", 48))
        await anext(stream)
        async with probing(here, idle_seconds=0.004):
            async for _ in stream:
                assert here.dispatcher.running == 1
            own, *probes = await here.rows_once(5)
    assert own.outcome == "finished"
    assert {probe.outcome for probe in probes} == {"probe"}
    assert all(probe.started_at >= own.finished_at for probe in probes)


async def test_a_probe_ends_where_somebody_asks_for_something() -> None:
    slow = {"say": "rain " * 40, "step_delay_ms": 5.0}
    async with house(a=slow) as here, probing(here):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not here.dispatcher.running:
                await asyncio.sleep(0)
        async for _ in here.dispatcher.generate(request("a", 24)):
            pass
        rows = await here.rows_once(2)
    first = next(row for row in rows if row.request_id == "probe-a-1")
    assert first.outcome == "probe"
    # It was given up and is no answer, so that nothing was learned of it.
    assert first.finish_reason == ""


async def test_a_model_that_cannot_be_probed_is_told_of_and_the_next_one_is_probed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with house(a={**TALKATIVE, "context_length": 8}, b=TALKATIVE) as here, probing(here):
        rows = await here.rows_once(5)
    assert [row.outcome for row in rows] == ["probe"] * 5
    told = [line for line in caplog.messages if "could not be probed" in line]
    (line,) = told
    assert line.startswith("model a could not be probed: ")
    assert "\n" not in line


async def test_a_worker_that_comes_back_is_not_probed_again() -> None:
    async with house(a={**TALKATIVE, "context_length": 8}) as here, probing(here):
        await here.rows_once(1)
        board = here.cast.engines["a"]
        board.become(WorkerPhase.RESTARTING)
        board.become(WorkerPhase.READY)
        here.fleet.add(scripted_source("b", **TALKATIVE))
        await here.fleet.load("b")
        rows = await here.rows_once(5)
    assert [row.request_id.rpartition("-")[0] for row in rows] == ["probe-a"] + ["probe-b"] * 4
