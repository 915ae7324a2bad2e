"""The books of the service: every attempt is entered before it begins and settled when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from quorate.accounting.budgets import Budgets
from quorate.accounting.charges import Charge, Reservation
from quorate.accounting.ledger import Ledger
from quorate.accounting.money import from_float
from quorate.accounting.prices import Price
from quorate.accounting.settings import BudgetSettings
from quorate.dispatch.activity import Activity
from quorate.dispatch.attempt import Asked, Attempt
from quorate.dispatch.charges import charge, reservation
from quorate.dispatch.learning import Escalations, learn
from quorate.dispatch.prompts import prompt_text
from quorate.errors import Internal, Unavailable
from quorate.generation import Candidate, Decision, PlanKind, Usage
from quorate.measurement.meter import AbsentMeter, Meter
from quorate.measurement.profiles import Profiles
from quorate.measurement.stopwatch import Stopwatch

FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
PROBE = "probe"

_log = logging.getLogger(__name__)


class Books:
    """Reserves, meters, learns and settles.

    Args:
        budgets: Windows that nobody may overspend; None limits nothing.
        ledger: Keeps what was spent; None keeps nothing.
        meter: Knows the energy; None knows none.
        profiles: Learn what plans take.
        policy_version: Of the routing, for the ledger.
        clock: UTC epoch seconds.
    """

    def __init__(
        self,
        budgets: Budgets | None = None,
        ledger: Ledger | None = None,
        meter: Meter | None = None,
        profiles: Profiles | None = None,
        policy_version: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.budgets = budgets or Budgets(BudgetSettings())
        self.ledger = ledger
        self.meter: Meter = meter or AbsentMeter()
        self.profiles = profiles or Profiles()
        self.activity = Activity()
        self.escalations = Escalations()
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
        joules = None if chosen is None else chosen.forecast.joules_q90
        usd = _ceiling(chosen)
        attempt = Attempt(
            attempt_id=uuid.uuid4().hex,
            asked=asked,
            decision=decision,
            started_at=self._clock(),
            stopwatch=stopwatch,
            models=_models(decision),
            hold=self.budgets.reserve(asked.key, joules, usd),
            price=price,
            reserved_usd=usd,
        )
        try:
            await self._enter(attempt)
        except BaseException:
            self.budgets.release(attempt.hold)
            raise
        attempt.job = self.meter.begin(attempt.work)
        attempt.visit = self.activity.enter(attempt.models)
        return attempt

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

    async def _enter(self, attempt: Attempt) -> None:
        ledger = self.ledger
        if ledger is None:
            return
        text = prompt_text(attempt.asked.prompt)
        row = reservation(attempt, self._policy_version, ledger.hash_prompt(text))
        try:
            await ledger.reserve(row)
        except Unavailable as error:
            if attempt.decision.route.remote:
                raise
            _log.error("attempt %s is not in the ledger: %s", attempt.attempt_id, error.message)
        self._entered[attempt.attempt_id] = row

    def _close(self, attempt: Attempt, outcome: str) -> Usage:
        attempt.closed = True
        assert attempt.job is not None
        assert attempt.visit is not None
        batch = self.activity.leave(attempt.visit)
        energies = dict(self.meter.finish(attempt.job))
        usage = attempt.usage(energies)
        joules = [energy.joules for energy in energies.values() if energy.joules is not None]
        # What is not known counts as what was held for it.
        self.budgets.settle(attempt.hold, sum(joules) if joules else None, attempt.usd())
        if outcome == FINISHED:
            learn(self.profiles, attempt, batch, energies)
            if attempt.decision.route.stages:
                went_on = len(attempt.runs) > 1
                self.escalations.observe(attempt.decision.route.name, went_on)
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


def _ceiling(chosen: Candidate | None) -> Any:
    if chosen is None or chosen.kind is not PlanKind.REMOTE:
        return None
    ceiling = chosen.forecast.usd_ceiling
    return None if ceiling is None else from_float(ceiling)
