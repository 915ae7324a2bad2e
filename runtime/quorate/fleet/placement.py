"""Which processor cores there are, and which model computes on which.

Cores follow the work. A model that nobody asks anything holds none: it takes cores for the time of
a decode call (``quorate.engines.worker.turns``), and those that share cores take turns. So a lone
request has the whole machine from its first call on, and nothing need be decided when work begins
or ends. What is decided here, from what the workers have measured, is the other way to share: where
models compute at the same time, step after step, and shares of the cores suit what their steps
cost, each computes on cores of its own, until one of them has nothing more to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quorate.engines.shared_rows import WorkDone
from quorate.engines.worker.affinity import places
from quorate.engines.worker.statuses import Activity
from quorate.fleet.cores import CoreClaims, Cores
from quorate.fleet.shares import compute_at_once, divided_cores, division_pays, limited_cores

WINDOW_SECONDS = 0.5
"""For how long work is measured before something is decided by it."""

GRACE_SECONDS = 0.25
"""For how long a model whose sessions are open still counts as working when it is not asked."""

BAR_SECONDS = 30.0
"""For how long nothing is divided among models that were slower so."""

KEEP_CLAIMS_SECONDS = 2.0
"""For how long an idle server keeps its claims on cores."""

_REVIEW_SECONDS = 0.1
# Who is left behind when others end should have their cores within 50 ms.
_DIVIDED_REVIEW_SECONDS = 0.02
_STEPS = 8
# Of the cores, that models must use at least which have them to themselves.
_BUSY = 0.6

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Placed:
    """A model, and what it computes on.

    Attributes:
        wanted: The most cores that it may have, or None for all.
        move: Told its cores when they change.
        activity: Tells what it has done and is asked for.
        loaded: Whether it is there.
        steps: How many it had done at the last review.
        worked_at: When it was last seen at work.
    """

    wanted: int | None
    move: Callable[[tuple[int, ...]], None]
    activity: Callable[[], Activity]
    loaded: bool = False
    cores: tuple[int, ...] = ()
    steps: int = 0
    worked_at: float = float("-inf")


@dataclass(slots=True)
class _Window:
    """What models have done since they have shared cores as they do.

    Attributes:
        began: When that was.
        before: Model -> what it had done by then, of those that work.
    """

    began: float
    before: dict[str, WorkDone] = field(default_factory=dict)


@dataclass(slots=True)
class _Division:
    """Models that have cores of their own.

    Attributes:
        shares: Model -> its cores.
        in_turn_seconds: What a step of each of them took when they took turns.
        settled: Whether all have them by now.
    """

    shares: dict[str, tuple[int, ...]]
    in_turn_seconds: float
    settled: bool = False


class Placement:
    """Says on which cores each loaded model computes, and changes that with the work.

    Where cores cannot be told apart, or other servers of this machine have them, models have
    ``places`` instead, and run wherever there is room.

    Args:
        cores: What there is; ids alone are all pinned to.
        claims: Keeps other servers from the cores that models are pinned to, and this one from
            theirs, while models work; without it nobody is asked.
    """

    def __init__(self, cores: Cores | Sequence[int], claims: CoreClaims | None = None) -> None:
        ids = () if isinstance(cores, Cores) else tuple(cores)
        self._cores = cores if isinstance(cores, Cores) else Cores(ids, len(ids))
        self._claims = claims
        self._models: dict[str, _Placed] = {}
        self._available = self._cores.ids if self._cores.pin else places(self._cores.threads)
        self._window = _Window(0.0)
        self._division: _Division | None = None
        # As many as there are sets of models that were divided; few work together.
        self._known: dict[frozenset[str], _Division] = {}
        self._barred: tuple[frozenset[str], float] = frozenset(), 0.0
        self._worked_at = float("-inf")
        self._claimed = self._crowded = False

    def add(
        self,
        model: str,
        wanted: int | None,
        move: Callable[[tuple[int, ...]], None],
        activity: Callable[[], Activity] = Activity,
    ) -> None:
        """Makes a model known, not loaded, see ``_Placed``; cores are dealt in this order."""
        self._models[model] = _Placed(wanted, move, activity)

    def enter(self, model: str) -> tuple[int, ...]:
        """Has a model take part, and returns its cores."""
        placed = self._models[model]
        placed.loaded = True
        self._deal()
        return placed.cores

    def leave(self, model: str) -> None:
        """Takes a model's cores away, of which it is not told."""
        placed = self._models[model]
        placed.loaded = False
        placed.cores = ()
        self._known = {models: one for models, one in self._known.items() if model not in models}
        if self._division is not None and model in self._division.shares:
            self._division = None
        self._deal()

    def review(self, now: float) -> float:
        """Looks at what the models do, and moves them where that makes them faster.

        Args:
            now: Monotonic time in seconds.

        Returns:
            After how many seconds it is to be called again.
        """
        working = self._working(now)
        self._claim(now, working)
        if working.keys() != self._window.before.keys():
            self._window = _Window(now, working)
            self._resume(frozenset(working))
        if len(working) > 1:
            self._measure(now, working)
        if self._division is not None:
            return _DIVIDED_REVIEW_SECONDS
        return _REVIEW_SECONDS

    def _working(self, now: float) -> dict[str, WorkDone]:
        """What each model has done so far that works on cores now."""
        found = {}
        for model, placed in self._models.items():
            if not placed.loaded:
                continue
            activity = placed.activity()
            if activity.asked or activity.done.steps != placed.steps:
                placed.worked_at = now
            placed.steps = activity.done.steps
            # Whoever never used a core, as a model on a GPU, takes none from others.
            uses_cores = activity.done.core_seconds > 0.0
            if uses_cores and activity.sessions and now - placed.worked_at <= GRACE_SECONDS:
                found[model] = activity.done
        return found

    def _measure(self, now: float, working: dict[str, WorkDone]) -> None:
        """Looks back on what models have done that share cores, once that is enough."""
        window = self._window
        if any(one.steps < window.before[model].steps for model, one in working.items()):
            # A worker was started anew.
            self._window = _Window(now, working)
            return
        seconds = now - window.began
        done = {
            model: _between(window.before[model], one, seconds, self._cores.threads)
            for model, one in working.items()
        }
        fewest = min(one.steps for one in done.values())
        division = self._division
        if division is not None and not division.settled:
            # Steps that began before are none of its own.
            if fewest > 1:
                division.settled = True
                self._window = _Window(now, working)
        elif seconds >= WINDOW_SECONDS and fewest >= _STEPS:
            self._window = _Window(now, working)
            if division is None:
                self._consider(done, now)
            elif not _pays(division, done, seconds):
                self._barred = frozenset(working), now + BAR_SECONDS
                self._known.pop(frozenset(working), None)
                self._share_in_turn()

    def _consider(self, done: Mapping[str, WorkDone], now: float) -> None:
        """Divides the cores among models that took turns, where that might be faster."""
        models, until = self._barred
        if models == done.keys() and now < until:
            return
        computed = {model: one.computed_seconds for model, one in done.items()}
        work = {model: one.core_seconds for model, one in done.items()}
        waited = {model: one.waited_seconds for model, one in done.items()}
        if not compute_at_once(computed, waited):
            return
        wanted = {model: one.wanted for model, one in self._models.items() if model in done}
        shares = divided_cores(self._available, wanted, work)
        if shares is not None and division_pays(shares, work, computed):
            self._division = _Division(shares, sum(computed.values()) / _rounds(done))
            self._known[frozenset(done)] = self._division
            self._deal()

    def _resume(self, working: frozenset[str]) -> None:
        """Shares as these models last did; answers may be too short to find it out each time."""
        division = self._known.get(working)
        if division is None:
            self._share_in_turn()
            return
        division.settled = False
        self._division = division
        self._deal()

    def _share_in_turn(self) -> None:
        if self._division is not None:
            self._division = None
            self._deal()

    def _deal(self) -> None:
        wanted = {model: one.wanted for model, one in self._models.items() if one.loaded}
        shares = limited_cores(self._available, wanted)
        if self._division is not None:
            shares |= self._division.shares
        for model, cores in shares.items():
            placed = self._models[model]
            if placed.loaded and placed.cores != cores:
                placed.cores = cores
                placed.move(cores)

    def _claim(self, now: float, working: Iterable[str]) -> None:
        """Claims cores while models work; an idle server leaves them to others."""
        if self._claims is None or not self._cores.pin:
            return
        if not working:
            if self._claimed and now - self._worked_at > KEEP_CLAIMS_SECONDS:
                self._claims.release()
                self._claimed = False
            return
        self._worked_at = now
        ids = self._cores.ids
        wanted = [one.wanted for one in self._models.values() if one.loaded]
        limits = [most for most in wanted if most is not None]
        count = min(sum(limits), len(ids)) if len(limits) == len(wanted) else len(ids)
        if self._claimed and len(self._available) == count and not self._crowded:
            return
        taken = self._claims.take(ids, count)
        self._claimed = True
        if not taken and not self._crowded:
            _log.info(
                "other servers of this machine have pinned models to its cores: those of this one "
                "run wherever there is room; give models fewer cores, or servers cpusets"
            )
        self._crowded = not taken
        self._use(taken or places(self._cores.threads))

    def _use(self, available: tuple[int, ...]) -> None:
        if available != self._available:
            self._available = available
            self._division = None
            self._known.clear()
            self._deal()


def _pays(division: _Division, done: Mapping[str, WorkDone], seconds: float) -> bool:
    """Whether models are no slower on cores of their own than they were in turn, and use them."""
    slowest = max(one.computed_seconds for one in done.values()) / _rounds(done)
    used = sum(one.core_seconds for one in done.values()) / seconds
    cores = sum(map(len, division.shares.values()))
    return slowest <= division.in_turn_seconds and used >= _BUSY * cores


def _rounds(done: Mapping[str, WorkDone]) -> int:
    """In how many steps of all of them they did it."""
    return max(one.steps for one in done.values())


def _between(seen: WorkDone, done: WorkDone, seconds: float, cores: int) -> WorkDone:
    """What was done in this time, as far as that can be: it is what workers say of themselves."""
    computed = _within(done.computed_seconds - seen.computed_seconds, seconds)
    return WorkDone(
        max(0, done.steps - seen.steps),
        computed,
        _within(done.core_seconds - seen.core_seconds, computed * cores),
        _within(done.waited_seconds - seen.waited_seconds, seconds),
    )


def _within(value: float, most: float) -> float:
    return min(max(0.0, value), most)
