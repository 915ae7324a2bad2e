"""The energy of each request, from counters that know only the whole machine."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from quorate.metering.account import Account, EnergyTotals
from quorate.metering.attribution import Share, Window
from quorate.metering.counters import EnergyCounter
from quorate.metering.plausibility import (
    MOST_GPU_WATTS,
    SILENT_CPU_SECONDS,
    ProcessorPower,
    Trial,
)
from quorate.metering.rapl import MEMORY
from quorate.request import Energy, EnergyTier
from quorate.request.work import Work, WorkCosts

_log = logging.getLogger(__name__)

FRESH_SECONDS = 0.02
"""A request that begins so soon within a window beside others is metered within that window."""


@dataclass(slots=True, eq=False)
class Job:
    """A request while its energy is metered.

    Attributes:
        work: The request's work so far by model. A model is named from when the request uses it,
            and its sums never fall. Asked at the ends of windows only, and
            no more once it is finished.
        began_at: By the meter's clock.
        idle_joules: The request's share of the idle energy of its time, on top of its own; set when
            it is finished, None where that is not measured.
    """

    work: Callable[[], Mapping[str, Work]]
    began_at: float = 0.0
    idle_joules: float | None = None
    seen: dict[str, Work] = field(default_factory=dict)


class Meter:
    """Meters requests by windows of the machine's energy counters. Not for several threads.

    A window ends where a request begins or ends, and at every tick. Requests that begin one after
    the other share one: its energy is divided by work, of which a request has none before it
    begins, and idle energy by the time that each was there. All of it runs in the caller's thread
    and reads the counters there. A file takes 10 to 20 microseconds, so that an event loop stands
    still for less than half a millisecond, and for one or two with 64 requests at once; a driver
    that answers slowly holds it up for as long as it takes.

    Args:
        counters: The domains; no joule may be in two of them. Without any, no energy is known.
        cpu_seconds: CPU time by model so far, the coordinator's under ``""``; see ``CpuTime.read``.
        costs: Cost of work by model, now.
        gpu_models: The models that compute on a GPU now. None stands for all of them.
        idle_watts: What the measured domains draw together when nothing runs, divided among them as
            their energy; 0 learns it from the windows without a request.
        clock: Seconds that never run backwards, and stand still while the machine sleeps.
        estimate: What stands in for the counters of the processor where they cannot be believed,
            cannot be read, or have not moved yet though requests were computed. Followed all the
            time, told of only then.
        power: What the processor can draw, to judge its counters by; None believes them.
    """

    def __init__(
        self,
        counters: Sequence[EnergyCounter] = (),
        cpu_seconds: Callable[[], Mapping[str, float]] = dict,
        costs: Callable[[], Mapping[str, WorkCosts]] = dict,
        gpu_models: Callable[[], Collection[str]] | None = None,
        idle_watts: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        estimate: EnergyCounter | None = None,
        power: ProcessorPower | None = None,
    ) -> None:
        most = {"cpu": math.inf if power is None else power.most_watts, "gpu": MOST_GPU_WATTS}
        self._accounts = [
            Account(counter, costs, gpu_models, most[counter.kind]) for counter in counters
        ]
        self._trial = None if power is None or estimate is None else Trial(power)
        self._estimate = None if estimate is None else Account(estimate, costs, gpu_models)
        self._estimating = False
        self._silent_cpu_seconds = 0.0
        self._read_cpu_seconds = cpu_seconds
        self._idle_watts = idle_watts
        self._clock = clock
        # In the order of their beginning, so that sums come out the same in every run.
        self._jobs: dict[Job, None] = {}
        self._cpu_seconds = cpu_seconds()
        self._closed_at = clock()

    def begin(self, work: Callable[[], Mapping[str, Work]]) -> Job:
        """Starts to meter a request, whose work may be asked from the next window on."""
        began_at = self._clock()
        if not self._jobs or began_at - self._closed_at >= FRESH_SECONDS:
            self.tick()
        job = Job(work, began_at=began_at)
        self._jobs[job] = None
        return job

    def finish(self, job: Job) -> Mapping[str, Energy]:
        """Ends it, however the request ended, once; returns its energy by model.

        The tier is the lowest of the domains that contributed. A figure is unavailable where no
        domain could be read, and where one that can be read had not moved yet or was lost
        meanwhile: what it will say of this request later counts as unattributed.
        """
        self.tick()
        del self._jobs[job]
        # Without counters there are no windows, at whose ends the work would have been asked.
        models = job.seen if self._accounts else job.work()
        # The attempt that it is the work of has this job, and holds a prompt that may be large.
        job.work = dict
        energies = {model: self._energy(job, model) for model in models}
        shares = [account.idle_joules(job) for account in self._accounts]
        known = [share for share in shares if share is not None]
        job.idle_joules = sum(known) if known else None
        for account in self._accounts:
            account.forget(job)
        if self._estimate is not None:
            self._estimate.forget(job)
        return energies

    def tick(self) -> None:
        """Closes a window; called every second or so, so that counters never wrap unseen."""
        if not self._accounts:
            return
        window = self._window()
        spent = sum(account.measured_joules for account in self._accounts)
        for account in self._accounts:
            part = account.measured_joules / spent if spent > 0 else 1 / len(self._accounts)
            account.close(window, self._idle_watts * part if self._idle_watts > 0 else None)
        if self._estimate is not None:
            if window.alive_seconds:
                self._silent_cpu_seconds += sum(window.cpu_seconds.values())
            self._estimate.close(window, None)
            self._judge(window)

    def totals(self) -> Mapping[str, EnergyTotals]:
        """Where the joules of each domain went.

        Counters of the processor that are not believed are left out, as the estimate has counted
        all along what they should have; of a GPU stays what was told before it stood still.
        """
        told = [
            account
            for account in self._accounts
            if not account.dead or (account.kind == "gpu" and account.totals.counter_joules > 0)
        ]
        if self._estimate is not None and self._estimating:
            told.append(self._estimate)
        return {account.name: account.totals for account in told}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which counters are not believed and why, in lines for people."""
        return tuple(
            f"energy counter {account.name} {account.dead}"
            for account in self._accounts
            if account.dead
        )

    def _judge(self, window: Window) -> None:
        """Gives up counters of the processor that contradict the CPU time, and says so once."""
        of_cpu = [account for account in self._accounts if account.kind == "cpu"]
        gone = [account for account in of_cpu if account.dead]
        living = [account for account in of_cpu if not account.dead]
        if self._trial is not None and living and all(account.readable for account in living):
            used = sum(window.cpu_seconds.values())
            rises = {account.name: account.rise for account in living}
            wrong = self._trial.add(window.seconds, used, rises)
            for account in living:
                if account.name in wrong:
                    account.give_up("contradicts the CPU time that is used")
                    gone.append(account)
                    if account.name.endswith(MEMORY):
                        _log.warning("energy counter %s stands still: left out", account.name)
        if self._estimating or all(account.name.endswith(MEMORY) for account in gone):
            return
        self._estimating = True
        for account in of_cpu:
            if not account.dead:
                account.give_up("covers a part of the processor alone")
        _log.warning(
            "energy of the processor is estimated by CPU time from now on: %s",
            "; ".join(f"counter {account.name} {account.dead}" for account in gone),
        )

    def _window(self) -> Window:
        now, cpu_seconds = self._clock(), self._read_cpu_seconds()
        seconds, work = now - self._closed_at, dict[Share, Work]()
        alive: dict[Hashable, float] = {job: min(seconds, now - job.began_at) for job in self._jobs}
        for job in self._jobs:
            for model, done in job.work().items():
                work[job, model] = done.since(job.seen.get(model, Work()))
                job.seen[model] = done
        used = {
            model: max(0.0, total - self._cpu_seconds.get(model, 0.0))
            for model, total in cpu_seconds.items()
        }
        self._closed_at, self._cpu_seconds = now, cpu_seconds
        return Window(seconds, work, used, alive)

    def _energy(self, job: Job, model: str) -> Energy:
        of_gpu = [one.energy(job, model) for one in self._accounts if one.kind == "gpu"]
        known = [energy for energy in (*self._of_cpu(job, model), *of_gpu) if energy is not None]
        joules = [energy.joules for energy in known if energy.joules is not None]
        if not known or len(joules) < len(known):
            return Energy()
        measured = all(energy.tier is EnergyTier.MEASURED for energy in known)
        return Energy(sum(joules), EnergyTier.MEASURED if measured else EnergyTier.ESTIMATED)

    def _of_cpu(self, job: Job, model: str) -> list[Energy | None]:
        counters = [one for one in self._accounts if one.kind == "cpu" and not one.dead]
        # One that is slow is waited for: what it will say of this request is counted later.
        silent = any(one.totals.counter_joules <= 0 for one in counters)
        doubtful = silent and self._silent_cpu_seconds > SILENT_CPU_SECONDS
        sure = not doubtful and all(one.readable for one in counters)
        if self._estimate is None or (sure and not self._estimating):
            return [one.energy(job, model) for one in counters]
        return [self._estimate.energy(job, model)]
