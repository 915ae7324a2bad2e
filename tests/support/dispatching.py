"""A dispatcher over scripted models, with a ledger and budgets that a test can read."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.dispatch import AttemptRecorder, Dispatcher, DispatchSettings
from quorate.dispatch.settings import CallerLimits
from quorate.fleet.fleet import Fleet
from quorate.ledger.budgets import Budgets
from quorate.ledger.charges import Charge
from quorate.ledger.ledger import Ledger
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.metering.account import EnergyTotals
from quorate.metering.meter import Job
from quorate.request import (
    Accepted,
    CascadePlan,
    Delta,
    Energy,
    EnergyTier,
    Event,
    FailurePolicy,
    Finished,
    Notice,
    Plan,
    PlanChoice,
    Request,
    SamplingOptions,
    Stage,
    TextPrompt,
    WeightedModel,
)
from quorate.request.work import Work
from quorate.routing.settings import RoutingSettings
from support.managed_engines import Cast, loaded_fleet

GREEDY = SamplingOptions(temperature=0.0)
DEADLINE_SECONDS = 30.0
NEVER_EXPLORE = RoutingSettings(exploration=0.0)


class SimulatedMeter:
    """A meter by which every decoded token of every model takes the same energy."""

    def __init__(self, joules_per_token: float = 1.0, known: bool = True) -> None:
        self.joules_per_token = joules_per_token
        self.known = known
        self.jobs: set[int] = set()

    def begin(self, work: Callable[[], Mapping[str, Work]]) -> Job:
        job = Job(work)
        self.jobs.add(id(job))
        return job

    def finish(self, job: Job) -> Mapping[str, Energy]:
        self.jobs.remove(id(job))
        if not self.known:
            return dict.fromkeys(job.work(), Energy())
        return {
            model: Energy(work.decode * self.joules_per_token, EnergyTier.MEASURED)
            for model, work in job.work().items()
        }

    def tick(self) -> None:
        """Nothing passes unless something is decoded."""

    def totals(self) -> Mapping[str, EnergyTotals]:
        return {"simulated": EnergyTotals(EnergyTier.MEASURED)}


@dataclass
class DispatcherHarness:
    """A dispatcher, and the parts of it that a test plays with or looks into."""

    dispatcher: Dispatcher
    cast: Cast
    recorder: AttemptRecorder
    fleet: Fleet
    meter: SimulatedMeter = field(default_factory=SimulatedMeter)

    async def charges(self) -> list[Charge]:
        """All rows of the ledger, the earliest settled first."""
        await self.recorder.flush()
        assert self.recorder.ledger is not None
        rows, _ = await self.recorder.ledger.list_charges(page_size=1000)
        return list(reversed(rows))

    def held(self) -> list[float]:
        """What every window of everybody holds."""
        return [window.held for window in self.recorder.budgets.status("")]

    def sessions_opened(self, model: str) -> int:
        """How many sessions a model has opened so far."""
        return self.cast.engines[model].sessions_opened


@asynccontextmanager
async def running_dispatcher(
    models: Mapping[str, dict[str, Any]],
    *,
    limits: BudgetLimits | None = None,
    settings: DispatchSettings | None = None,
    ledger_path: Path | None = None,
    meter: SimulatedMeter | None = None,
    routing: RoutingSettings = NEVER_EXPLORE,
    callers: Mapping[str, CallerLimits] | None = None,
    **rest: Any,
) -> AsyncIterator[DispatcherHarness]:
    """Opens a dispatcher over these models; without a path its ledger is in memory.

    ``limits`` are those of budgets, ``callers`` those of keys.
    """
    cast, meter = Cast(), meter or SimulatedMeter()
    fleet = await loaded_fleet(cast, **models)
    ledger = Ledger.open(ledger_path)
    budgets = Budgets(BudgetSettings(limits or BudgetLimits()))
    recorder = AttemptRecorder(budgets, ledger, meter)
    dispatcher = Dispatcher(
        fleet,
        settings or DispatchSettings(),
        recorder=recorder,
        routing=routing,
        limits=callers,
        **rest,
    )
    try:
        yield DispatcherHarness(dispatcher, cast, recorder, fleet, meter)
    finally:
        await recorder.flush()
        await ledger.close()
        await fleet.close()


@asynccontextmanager
async def bare_dispatcher(**models: dict[str, Any]) -> AsyncIterator[tuple[Dispatcher, Cast]]:
    """Opens a dispatcher over these models that neither meters nor writes anything down."""
    cast = Cast()
    fleet = await loaded_fleet(cast, **models)
    try:
        yield Dispatcher(fleet, DispatchSettings()), cast
    finally:
        await fleet.close()


class Answer:
    """All that was told of a request, from its decision to its end."""

    def __init__(self, events: list[Event]) -> None:
        assert isinstance(events[0], Accepted)
        assert isinstance(events[-1], Finished)
        self.decision = events[0].decision
        self.finished = events[-1]
        self.text = text_of(events)
        self.tokens = [
            token for event in events if isinstance(event, Delta) for token in event.tokens
        ]
        self.logprob = math.fsum(token.logprob for token in self.tokens)


def only(model: str, on_failure: FailurePolicy = FailurePolicy.AUTO) -> Plan:
    """A vote of one."""
    return Plan((WeightedModel(model),), on_failure=on_failure)


def steps(*models: str, early: bool = False, confidence: float = 0.6) -> CascadePlan:
    """A cascade of single models that fail for good when they are lost."""
    stages = tuple(Stage(only(model, FailurePolicy.FAIL), confidence) for model in models)
    return CascadePlan(stages, early)


def ask(plan: PlanChoice | None = None, text: str = "x", **rest: Any) -> Request:
    """A greedy request."""
    return Request(TextPrompt(text), plan, **{"sampling": GREEDY, **rest})


async def answer(
    stage: DispatcherHarness, plan: PlanChoice | None = None, text: str = "x", **rest: Any
) -> list[Event]:
    """All events of a request."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [event async for event in stage.dispatcher.generate(ask(plan, text, **rest))]


async def until(condition: Callable[[], object]) -> None:
    """Lets others go on until this holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0)


def text_of(events: list[Event]) -> str:
    """All text of some events."""
    return "".join(event.text for event in events if isinstance(event, Delta))


def notices(events: list[Event]) -> list[Notice]:
    """The notices among some events."""
    return [event for event in events if isinstance(event, Notice)]
