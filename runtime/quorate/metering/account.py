"""The account of one energy counter: its open window, its idle power, where its joules went."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace

from quorate.metering.attribution import Attribution, Window, attribute_cpu, attribute_gpu
from quorate.metering.counters import EnergyCounter, Hardware, RegisterCounter
from quorate.metering.plausibility import GPU_STILL_SECONDS
from quorate.request import Energy, EnergyTier
from quorate.request.work import WorkCosts

_log = logging.getLogger(__name__)
_IDLE_WINDOWS = 64
_IDLE_QUANTILE = 0.25
_MOST_STRIKES = 3


@dataclass(frozen=True, slots=True)
class EnergyTotals:
    """Where the joules of a domain went since the start.

    ``counter_joules`` is the sum of the other three.

    Attributes:
        tier: How they are come by.
        counter_joules: What the counter rose by, up to its last closed window.
        request_joules: Given to requests.
        idle_joules: Spent by the machine being on.
        unattributed_joules: Spent on work that belongs to no request that could still be told.
    """

    tier: EnergyTier
    counter_joules: float = 0.0
    request_joules: float = 0.0
    idle_joules: float = 0.0
    unattributed_joules: float = 0.0


class Account:
    """Follows one counter and shares out what it rose by.

    A window closes only once its counter has moved. A counter that stands still while there is work
    ticks more slowly than we look, and one that cannot be read may be back later; both times the
    window stays open and its work waits for the joules.

    A rise that no such machine can have spent is passed over; what was done meanwhile waits for the
    next one. After a few of them the counter is dead, as is that of a GPU which works and never
    moves. A dead one says nothing any more, unless it has a substitute.

    Args:
        costs: Cost of work by model, now.
        gpu_models: The models that compute on a GPU now; None if that is not known.
        most_watts: More than the domain can draw.

    Attributes:
        rise: What the counter rose by in the last window that was taken in.
        dead: Why nothing it says is believed, in words for people; "" while it is.
    """

    def __init__(
        self,
        counter: EnergyCounter,
        costs: Callable[[], Mapping[str, WorkCosts]],
        gpu_models: Callable[[], Collection[str]] | None,
        most_watts: float = math.inf,
    ) -> None:
        self.rise = 0.0
        self.dead = ""
        self._most_watts = most_watts
        self._strikes = 0
        self._still_seconds = 0.0
        self._counter = counter
        self._costs = costs
        self._gpu_models = gpu_models if counter.kind == "gpu" else None
        self._measured = counter.tier is EnergyTier.MEASURED
        self._baseline = IdleBaseline()
        self._window = Window()
        self._joules: dict[Hashable, dict[str, float]] = {}
        self._idle_shares: dict[Hashable, float] = {}
        self._last = counter.read()
        self._readable = self._last is not None
        self.totals = EnergyTotals(counter.tier)

    @property
    def name(self) -> str:
        """Name of the domain."""
        return self._counter.name

    @property
    def kind(self) -> Hardware:
        """What the domain is part of."""
        return self._counter.kind

    @property
    def readable(self) -> bool:
        """Whether the counter could be read last."""
        return self._readable

    @property
    def measured_joules(self) -> float:
        """What the counter rose by, if it measures."""
        return self.totals.counter_joules if self._measured else 0.0

    def close(self, window: Window, idle_watts: float | None) -> None:
        """Takes in what happened since the last call, and shares out the joules if there are any.

        Args:
            window: What happened.
            idle_watts: What the domain draws when nothing runs; None goes by what was learned.
        """
        self.rise = 0.0
        if self.dead:
            return
        concerned = self._concerned(window)
        self._window = self._window.joined(concerned)
        joules = self._counter.read()
        self._note(joules is not None)
        if joules is None:
            return
        if self._last is None:
            self._last, self._window = joules, Window()
            return
        rise = joules - self._last
        if rise <= 0:
            self._stands_still(concerned)
            return
        self._last, self._still_seconds = joules, 0.0
        if rise > self._most_watts * max(1.0, self._window.seconds):
            self._pass_over(rise)
            return
        self._strikes = 0
        self.rise = rise
        self._enter(rise, self._shared(rise, idle_watts))
        self._window = Window()

    def give_up(self, why: str) -> None:
        """Believes the counter no more; its substitute takes over, if it has one.

        Args:
            why: In words for people.
        """
        counter = self._counter
        substitute = counter.substitute if isinstance(counter, RegisterCounter) else None
        if substitute is None:
            self.dead = why
            self._readable = False
            return
        self._counter = substitute
        self._measured = substitute.tier is EnergyTier.MEASURED
        self._last, self._window = substitute.read(), Window()
        self._joules.clear()
        self._strikes, self._still_seconds = 0, 0.0
        self.totals = replace(self.totals, tier=substitute.tier)

    def energy(self, job: Hashable, model: str) -> Energy | None:
        """Energy of a request on a model; None if this domain has nothing to say about it."""
        if self._gpu_models is not None and model not in self._gpu_models():
            return None
        if self.dead:
            return Energy()
        waiting = bool(self._window.work.get((job, model)))
        told = self._joules.get(job)
        if told is None:
            return Energy() if self._readable else None
        joules = told.get(model, 0.0)
        if waiting and (not self._readable or joules <= 0):
            return Energy()
        return Energy(joules, self._counter.tier)

    def idle_joules(self, job: Hashable) -> float | None:
        """The share of a request in the idle energy of its time; None where none is measured."""
        return self._idle_shares.get(job) if self._measured else None

    def forget(self, job: Hashable) -> None:
        """Lets go of a request that was answered; what its last work costs is still to come."""
        self._joules.pop(job, None)
        self._idle_shares.pop(job, None)
        self._window = self._window.answered(job)

    def _stands_still(self, window: Window) -> None:
        if self._counter.kind != "gpu" or not any(window.work.values()):
            return
        self._still_seconds += window.seconds
        if self._still_seconds >= GPU_STILL_SECONDS:
            why = f"stood still for {self._still_seconds:.0f} s of work"
            self._give_up_aloud(why)

    def _pass_over(self, rise: float) -> None:
        self._strikes += 1
        seconds = self._window.seconds
        if self._strikes >= _MOST_STRIKES:
            why = f"says {rise:.3g} J in {seconds:.3g} s, more than such a machine can spend"
            self._give_up_aloud(why)

    def _give_up_aloud(self, why: str) -> None:
        self.give_up(why)
        instead = "" if self.dead else ", and its joules are estimated"
        _log.warning("energy counter %s %s: it is believed no more%s", self.name, why, instead)

    def _concerned(self, window: Window) -> Window:
        if self._gpu_models is None:
            return window
        models = self._gpu_models()
        return replace(
            window, work={share: work for share, work in window.work.items() if share[1] in models}
        )

    def _shared(self, rise: float, idle_watts: float | None) -> Attribution:
        window, watts = self._window, 0.0
        if self._measured:
            if not window.alive_seconds:
                self._baseline.observe(rise, window.seconds)
            watts = self._baseline.watts if idle_watts is None else idle_watts
        attribute = attribute_cpu if self._counter.kind == "cpu" else attribute_gpu
        return attribute(rise, window, watts, self._costs())

    def _enter(self, rise: float, parts: Attribution) -> None:
        for job, joules in parts.idle_shares.items():
            self._idle_shares[job] = self._idle_shares.get(job, 0.0) + joules
        for (job, model), joules in parts.requests.items():
            told = self._joules.setdefault(job, {})
            told[model] = told.get(model, 0.0) + joules
        totals = self.totals
        self.totals = EnergyTotals(
            totals.tier,
            totals.counter_joules + rise,
            totals.request_joules + sum(parts.requests.values()),
            totals.idle_joules + parts.idle,
            totals.unattributed_joules + parts.unattributed,
        )

    def _note(self, readable: bool) -> None:
        if readable != self._readable:
            happened = "can be read again" if readable else "cannot be read any more"
            _log.warning("energy counter %s %s", self.name, happened)
        self._readable = readable


class IdleBaseline:
    """The lower quartile of the power in recent windows without a request, by time.

    A quantile and not a mean: what disturbs an idle machine (models being loaded, other programs)
    only ever adds power, so a mean would drift up and take energy from the next requests. Not the
    least either: counters move in steps, and the step that a short window missed makes it look too
    cheap. Weighing by time keeps short windows from counting as much as long ones.
    """

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=_IDLE_WINDOWS)

    def observe(self, joules: float, seconds: float) -> None:
        """Learns from a window without a request."""
        if seconds > 0:
            self._windows.append((joules / seconds, seconds))

    @property
    def watts(self) -> float:
        """The baseline; 0 until a window without a request was seen."""
        enough = _IDLE_QUANTILE * sum(seconds for _, seconds in self._windows)
        passed = 0.0
        for watts, seconds in sorted(self._windows):
            passed += seconds
            if passed >= enough:
                return watts
        return 0.0
