"""Records every attempt before it begins and settles it when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from quorate.costs.cost_model import CostModels
from quorate.dispatch.activity import Activity
from quorate.dispatch.attempt import Attempt, RemoteCall
from quorate.dispatch.bookkeeping import Bookkeeper
from quorate.dispatch.charges import charge
from quorate.dispatch.cold_starts import ColdStarts
from quorate.dispatch.learning import Escalations, Lessons, learn
from quorate.dispatch.ratings import Ratings
from quorate.dispatch.stopwatch import Stopwatch
from quorate.dispatch.telling import settled
from quorate.ensemble.drafts.costs import KnownCosts
from quorate.errors import BudgetSpent, Internal, Unavailable
from quorate.ledger.budgets import Budgets
from quorate.ledger.charges import Charge
from quorate.ledger.ledger import Ledger
from quorate.ledger.money import from_float
from quorate.ledger.prices import Price
from quorate.ledger.settings import BudgetSettings
from quorate.metering.meter import Meter
from quorate.request import Decision, Energy, Forecast, Request, ScoreRequest, Usage
from quorate.telemetry.attempts import AttemptObserver

FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
PROBE = "probe"

# Held where nothing is known, so that a window of which nothing is left refuses all the same.
_LEAST_JOULES = 1e-6

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class AttemptRecorder:
    """Holds, meters, settles and learns from attempts.

    To open one is to hold what it may take in the budgets, then to reserve that in the ledger, then
    to meter it. However it ends, meter, budgets and cost models are settled at once, in memory and
    without a pause in between. Only then the reservation becomes a charge, in one transaction of
    the ledger: before the last event of a whole answer, and else in the background. No step of that
    can keep another from happening: where a figure cannot be had, what was held for it counts.

    Args:
        budgets: Windows that nobody may overspend; None limits nothing.
        ledger: Keeps what was spent; None keeps nothing.
        meter: Knows the energy; None knows none.
        policy_version: Of the routing, for the ledger.
        clock: UTC epoch seconds.
        observers: Told of every attempt once it is settled, such as metrics.
    """

    def __init__(
        self,
        budgets: Budgets | None = None,
        ledger: Ledger | None = None,
        meter: Meter | None = None,
        costs: CostModels | None = None,
        policy_version: str = "",
        clock: Callable[[], float] = time.time,
        observers: Sequence[AttemptObserver] = (),
    ) -> None:
        self.budgets = budgets or Budgets(BudgetSettings())
        self.ledger = ledger
        self.meter = meter or Meter()
        self.costs = costs or CostModels()
        self.activity = Activity()
        self.escalations = Escalations()
        self.ratings = Ratings()
        self._lessons = Lessons()
        self._draft_costs = KnownCosts()
        self._cold_starts = ColdStarts()
        self._books = Bookkeeper(ledger, policy_version)
        self._clock = clock
        self._observers = tuple(observers)

    async def open(
        self,
        request: Request | ScoreRequest,
        decision: Decision,
        stopwatch: Stopwatch,
        price: Price | None = None,
    ) -> Attempt:
        """Records an attempt at a request that has an id, before anything is spent on it.

        Raises:
            BudgetSpent: What it may take does not fit a window.
            Unavailable: The ledger cannot be written, and a remote must not be asked unseen.
        """
        route = decision.route
        chosen = next((one for one in route.candidates if one.chosen), None)
        forecast = Forecast() if chosen is None else chosen.forecast
        with ExitStack() as undo:
            cold_start = self._is_cold_start(request.key, decision, forecast)
            if cold_start:
                dearest = await self._cold_starts.begin(route.name)
                undo.callback(self._cold_starts.end, route.name, None, answered=False)
                forecast = replace(forecast, joules_q90=max(dearest or 0.0, _LEAST_JOULES))
            ceiling = forecast.usd_ceiling if route.remote else None
            usd = None if ceiling is None else from_float(ceiling)
            # A window is a limit whatever the policy: best effort runs a plan that exceeds what its
            # own request asked for, and never one that does not fit a window.
            hold = self.budgets.hold(request.key, forecast.joules_q90, usd)
            undo.callback(self.budgets.release, hold)
            attempt = Attempt(
                attempt_id=uuid.uuid4().hex,
                request=request,
                decision=decision,
                started_at=self._clock(),
                stopwatch=stopwatch,
                hold=hold,
                price=price,
                call_usd=usd,
                reserved_usd=usd,
                reserved_joules=forecast.joules_q90,
                remote=RemoteCall(route.remote) if route.remote else None,
                cold_start=cold_start,
                draft_costs=self._draft_costs,
            )
            undo.callback(self._withdraw, attempt)
            await self._books.reserve(attempt)
            attempt.job = self.meter.begin(attempt.work)
            answers = decision.route.answers
            samples = 1 if answers is None else answers.samples
            attempt.span = self.activity.begin(decision.models, samples)
            undo.pop_all()
        return attempt

    async def hold_another_call(self, attempt: Attempt) -> bool:
        """Holds and reserves the price of one more call of a remote, beside those that it had.

        Returns:
            Whether there is room for it, in what the request allows and in every window, and the
            ledger has it. Else nothing is held, and the call must not be made.
        """
        one, before = attempt.call_usd, attempt.reserved_usd
        if one is None or before is None:
            return True
        together = before + one
        request = attempt.request
        cap = request.budget.usd if isinstance(request, Request) else None
        if cap is not None and together > from_float(cap):
            return False
        try:
            hold = self.budgets.hold(request.key, None, one)
        except BudgetSpent:
            return False
        attempt.more_holds.append(hold)
        if self.ledger is not None and attempt.reservation is not None:
            try:
                await self.ledger.raise_reservation(attempt.attempt_id, together)
            except (Unavailable, Internal) as error:
                attempt.more_holds.remove(hold)
                self.budgets.release(hold)
                _log.error(
                    "attempt %s cannot be tried again: %s", attempt.attempt_id, error.message
                )
                return False
            attempt.reservation = replace(attempt.reservation, reserved_usd=together)
        attempt.reserved_usd = together
        return True

    @asynccontextmanager
    async def recorded(
        self,
        request: Request | ScoreRequest,
        decision: Decision,
        stopwatch: Stopwatch,
        price: Price | None = None,
    ) -> AsyncIterator[Attempt]:
        """An attempt from ``open`` on, that is settled however it ends; raises what that does."""
        attempt = await self.open(request, decision, stopwatch, price)
        outcome = CANCELLED
        try:
            yield attempt
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError | GeneratorExit):
                outcome, attempt.error = FAILED, type(error).__name__
            raise
        finally:
            self.abandon(attempt, outcome)

    async def settle(self, attempt: Attempt, outcome: str = FINISHED) -> Usage:
        """Settles a complete answer; returns what it took once the ledger has it."""
        usage = self._close(attempt, outcome)
        self._tell(attempt, usage, outcome)
        await self._books.write(self._charge(attempt, usage, outcome), attempt)
        return usage

    def abandon(self, attempt: Attempt, outcome: str) -> None:
        """Settles an attempt that ended in any other way; the ledger follows in the background.

        Once for each attempt: after ``settle`` it changes nothing.
        """
        if not attempt.closed:
            usage = self._close(attempt, outcome)
            self._tell(attempt, usage, outcome)
            self._books.write_later(self._charge(attempt, usage, outcome), attempt)

    async def flush(self) -> None:
        """Waits until the ledger has all that was settled."""
        await self._books.flush()

    def _is_cold_start(self, key: str, decision: Decision, forecast: Forecast) -> bool:
        """Whether joules are limited and metered, and nobody knows what a local plan takes."""
        if decision.route.remote or forecast.joules_q90 is not None:
            return False
        limited = any(window.unit == "joules" for window in self.budgets.status(key))
        return limited and bool(self.meter.totals())

    def _withdraw(self, attempt: Attempt) -> None:
        """Settles what may stand in the ledger of an attempt that never began.

        The ledger writes a reservation down although its caller was cancelled meanwhile.
        """
        self._books.write_later(self._charge(attempt, attempt.usage({}), CANCELLED), attempt)

    def _close(self, attempt: Attempt, outcome: str) -> Usage:
        attempt.closed = True
        job, span = attempt.job, attempt.span
        assert job is not None
        assert span is not None
        batch = self._sure(attempt, lambda: self.activity.end(span), 1.0)
        no_energies: Mapping[str, Energy] = {}
        energies = self._sure(attempt, lambda: self.meter.finish(job), no_energies)
        usage = self._sure(
            attempt, lambda: attempt.usage(energies), Usage(0, attempt.generated_tokens, None, 0.0)
        )
        joules = self._sure(attempt, lambda: attempt.joules(energies), None)
        # What is not known counts as what was held for it.
        usd = self._sure(attempt, attempt.usd, attempt.reserved_usd)
        for hold in attempt.more_holds:
            self.budgets.release(hold)
        if not self._sure(attempt, lambda: self._settle_hold(attempt, joules, usd), False):
            self.budgets.settle(attempt.hold, None, attempt.reserved_usd)
        self._sure(attempt, lambda: self._learn(attempt, outcome, joules, batch, energies), None)
        return usage

    def _settle_hold(self, attempt: Attempt, joules: float | None, usd: Decimal | None) -> bool:
        self.budgets.settle(attempt.hold, joules, usd)
        return True

    def _learn(
        self,
        attempt: Attempt,
        outcome: str,
        joules: float | None,
        batch: float,
        energies: Mapping[str, Energy],
    ) -> None:
        route = attempt.decision.route
        if attempt.cold_start:
            self._cold_starts.end(route.name, joules, answered=outcome == FINISHED)
        if outcome != FINISHED:
            return
        self.ratings.answered(attempt)
        learn(self.costs, self._lessons, attempt, batch, energies)
        if route.stages:
            first = route.stages[0].decision
            went_on = any(run.decision is not first for run in attempt.runs)
            self.escalations.observe(route.name, went_on)

    def _sure(self, attempt: Attempt, step: Callable[[], _Result], otherwise: _Result) -> _Result:
        """A step of settling, which must not keep the others from happening.

        Only a defect of ours, or a counter of the machine that is broken, fails here.
        """
        try:
            return step()
        except Exception:
            _log.exception("attempt %s could not be settled as it should", attempt.attempt_id)
            return otherwise

    def _tell(self, attempt: Attempt, usage: Usage, outcome: str) -> None:
        if self._observers:
            self._sure(attempt, lambda: self._tell_observers(attempt, usage, outcome), None)

    def _tell_observers(self, attempt: Attempt, usage: Usage, outcome: str) -> None:
        told = settled(attempt, usage, PROBE if attempt.probe else outcome, self._clock())
        for observer in self._observers:
            observer.settled(told)

    def _charge(self, attempt: Attempt, usage: Usage, outcome: str) -> Charge | None:
        """The row of an attempt; None where the ledger has no reservation to settle."""
        reservation = attempt.reservation
        if reservation is None:
            return None
        shown = PROBE if attempt.probe else outcome
        now = self._clock()
        return self._sure(
            attempt,
            lambda: charge(reservation, attempt, usage, shown, now),
            replace(reservation.lost(now), outcome=shown),
        )
