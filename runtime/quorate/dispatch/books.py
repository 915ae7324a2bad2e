"""The books of the service: every attempt is entered before it begins and settled when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from quorate.costs.cost_model import CostModels
from quorate.dispatch.activity import Activity
from quorate.dispatch.attempt import Asked, Attempt, RemoteSpent
from quorate.dispatch.charges import charge, reservation
from quorate.dispatch.first_runs import FirstRuns
from quorate.dispatch.learning import Escalations, learn
from quorate.dispatch.prompts import prompt_text
from quorate.dispatch.stopwatch import Stopwatch
from quorate.errors import Internal, Unavailable
from quorate.ledger.budgets import Budgets
from quorate.ledger.charges import Charge, Reservation
from quorate.ledger.ledger import Ledger
from quorate.ledger.money import from_float
from quorate.ledger.prices import Price
from quorate.ledger.settings import BudgetSettings
from quorate.metering.meter import AbsentMeter, Meter
from quorate.request import Decision, Forecast, Usage

FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
PROBE = "probe"

# Held where nothing is known, so that a window of which nothing is left refuses all the same.
_LEAST_JOULES = 1e-6

_log = logging.getLogger(__name__)


class Books:
    """Reserves, meters, learns and settles.

    Args:
        budgets: Windows that nobody may overspend; None limits nothing.
        ledger: Keeps what was spent; None keeps nothing.
        meter: Knows the energy; None knows none.
        costs: Learn what plans take.
        policy_version: Of the routing, for the ledger.
        clock: UTC epoch seconds.
    """

    def __init__(
        self,
        budgets: Budgets | None = None,
        ledger: Ledger | None = None,
        meter: Meter | None = None,
        costs: CostModels | None = None,
        policy_version: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.budgets = budgets or Budgets(BudgetSettings())
        self.ledger = ledger
        self.meter: Meter = meter or AbsentMeter()
        self.costs = costs or CostModels()
        self.activity = Activity()
        self.escalations = Escalations()
        self._first_runs = FirstRuns()
        self._policy_version = policy_version
        self._clock = clock
        self._entered: dict[str, Reservation] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def open(
        self, asked: Asked, decision: Decision, stopwatch: Stopwatch, price: Price | None = None
    ) -> Attempt:
        """Enters an attempt, before anything is spent on it.

        Args:
            asked: The request.
            decision: The plan that shall run.
            stopwatch: Runs since the request arrived.
            price: What the plan's remote charges.

        Raises:
            BudgetSpent: A window has no room for what it may take.
            Unavailable: The ledger cannot be written, and a remote must not be asked unseen.
        """
        chosen = next((one for one in decision.route.candidates if one.chosen), None)
        forecast = Forecast() if chosen is None else chosen.forecast
        if not self._is_first_run(asked.key, decision, forecast):
            return await self._opened(asked, decision, stopwatch, price, forecast, False)
        name = decision.route.name
        dearest = await self._first_runs.enter(name)
        held = replace(forecast, joules_q90=max(dearest or 0.0, _LEAST_JOULES))
        try:
            return await self._opened(asked, decision, stopwatch, price, held, True)
        except BaseException:
            self._first_runs.leave(name, None, False)
            raise

    async def settle(self, attempt: Attempt, outcome: str = FINISHED) -> Usage:
        """Settles an attempt whose answer is complete; returns when the ledger has it.

        Returns:
            What it took, energy and money included.
        """
        usage = self._close(attempt, outcome)
        row = self._row(attempt, usage, outcome)
        if row is not None:
            await self._write(row)
        return usage

    def abandon(self, attempt: Attempt, outcome: str) -> None:
        """Settles an attempt that ended in any other way; the ledger follows in the background.

        Once for each attempt: after ``settle`` it changes nothing.
        """
        if attempt.closed:
            return
        usage = self._close(attempt, outcome)
        row = self._row(attempt, usage, outcome)
        if row is not None:
            self._later(self._write(row))

    async def flush(self) -> None:
        """Waits until the ledger has all that was settled."""
        while self._writing:
            await asyncio.gather(*self._writing)

    def _is_first_run(self, key: str, decision: Decision, forecast: Forecast) -> bool:
        """Whether joules are limited and metered, and nobody knows what a local plan takes."""
        if decision.route.remote or forecast.joules_q90 is not None:
            return False
        limited = any(window.unit == "joules" for window in self.budgets.status(key))
        return limited and bool(self.meter.totals())

    async def _opened(
        self,
        asked: Asked,
        decision: Decision,
        stopwatch: Stopwatch,
        price: Price | None,
        forecast: Forecast,
        first_run: bool,
    ) -> Attempt:
        remote = decision.route.remote
        ceiling = forecast.usd_ceiling
        usd = from_float(ceiling) if remote and ceiling is not None else None
        attempt = Attempt(
            attempt_id=uuid.uuid4().hex,
            asked=asked,
            decision=decision,
            started_at=self._clock(),
            stopwatch=stopwatch,
            models=_models(decision),
            hold=self.budgets.hold(asked.key, forecast.joules_q90, usd),
            price=price,
            reserved_usd=usd,
            reserved_joules=forecast.joules_q90,
            remote=RemoteSpent(remote) if remote else None,
            first_run=first_run,
        )
        try:
            await self._enter(attempt)
            attempt.job = self.meter.begin(attempt.work)
        except BaseException:
            self.budgets.release(attempt.hold)
            self._withdraw(attempt)
            raise
        attempt.visit = self.activity.enter(attempt.models)
        return attempt

    async def _enter(self, attempt: Attempt) -> None:
        ledger = self.ledger
        if ledger is None:
            return
        text = prompt_text(attempt.asked.prompt)
        row = reservation(attempt, self._policy_version, ledger.hash_prompt(text))
        self._entered[attempt.attempt_id] = row
        try:
            await ledger.reserve(row)
        except Unavailable as error:
            if attempt.decision.route.remote:
                del self._entered[attempt.attempt_id]
                raise
            _log.error("attempt %s is not in the ledger: %s", attempt.attempt_id, error.message)

    def _withdraw(self, attempt: Attempt) -> None:
        """Settles what may stand in the ledger of an attempt that never began.

        The ledger writes a reservation down although its caller was cancelled meanwhile.
        """
        row = self._row(attempt, attempt.usage({}), CANCELLED)
        if row is not None:
            self._later(self._write(row))

    def _close(self, attempt: Attempt, outcome: str) -> Usage:
        attempt.closed = True
        assert attempt.job is not None
        assert attempt.visit is not None
        batch = self.activity.leave(attempt.visit)
        energies = dict(self.meter.finish(attempt.job))
        usage = attempt.usage(energies)
        joules = attempt.joules(energies)
        # What is not known counts as what was held for it.
        self.budgets.settle(attempt.hold, joules, attempt.usd())
        route = attempt.decision.route
        if attempt.first_run:
            self._first_runs.leave(route.name, joules, outcome == FINISHED)
        if outcome == FINISHED:
            learn(self.costs, attempt, batch, energies)
            if route.stages:
                first = route.stages[0].decision
                went_on = any(run.decision is not first for run in attempt.runs)
                self.escalations.observe(route.name, went_on)
        return usage

    def _row(self, attempt: Attempt, usage: Usage, outcome: str) -> Charge | None:
        before = self._entered.pop(attempt.attempt_id, None)
        if before is None:
            return None
        shown = PROBE if attempt.asked.probe else outcome
        text = prompt_text(attempt.asked.prompt)
        return charge(before, attempt, usage, shown, self._clock(), text)

    async def _write(self, row: Charge) -> None:
        if self.ledger is None:
            return
        try:
            await self.ledger.settle(row)
        except (Unavailable, Internal) as error:
            # The answer was given: it is not taken back because it could not be written down.
            _log.error("attempt %s could not be settled: %s", row.attempt_id, error.message)

    def _later(self, write: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(write)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def _models(decision: Decision) -> tuple[str, ...]:
    stages = [stage.decision for stage in decision.route.stages] or [decision]
    return tuple(dict.fromkeys(member.model for one in stages for member in one.members))
