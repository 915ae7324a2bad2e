"""Budgets of joules and dollars: amounts are held before work begins, and settled after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from quorate.amounts import joules_text
from quorate.clocks import since_boot
from quorate.errors import BudgetSpent, Internal
from quorate.ledger.money import from_float, to_nano_usd
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.ledger.spending import SpendEvent
from quorate.ledger.windows import RollingWindow

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_JOULES = "joules"
_USD = "usd"
_UNITS_PER = {_JOULES: 1e6, _USD: 1e9}


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held for one request, in all windows that apply to it.

    Attributes:
        key: Name of the caller's key, or "".
        amounts: For each unit the whole number of micro-joules or nano-dollars held.
        expires_at: When it counts as leaked, by the clock of a machine that is awake.
    """

    number: int
    key: str
    amounts: Mapping[str, int]
    expires_at: float


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """How one window stands. Amounts are in its unit, rounded to a float.

    Attributes:
        name: Such as ``usd per day of key alice``.
        unit: ``joules`` or ``usd``.
        limit: Most that may be spent and held.
        remaining: What may still be held; 0 where more was spent than the limit.
        resets_in_seconds: When all that is spent now will have aged out.
    """

    name: str
    unit: str
    seconds: float
    limit: float
    spent: float
    held: float
    remaining: float
    resets_in_seconds: float


@dataclass(frozen=True, slots=True)
class _NamedWindow:
    """A window with its name and unit."""

    name: str
    unit: str
    window: RollingWindow

    def status(self, now: float) -> WindowStatus:
        spent, held, limit = self.window.spent(now), self.window.held, self.window.limit
        scale = _UNITS_PER[self.unit]
        return WindowStatus(
            name=self.name,
            unit=self.unit,
            seconds=self.window.seconds,
            limit=limit / scale,
            spent=spent / scale,
            held=held / scale,
            remaining=max(0, limit - spent - held) / scale,
            resets_in_seconds=self.window.seconds_until_empty(now),
        )

    def refusal(self, amount: int, now: float) -> BudgetSpent:
        status = self.status(now)
        # Money to the last digit: what it is short of may be less than a cent.
        words = joules_text if self.unit == _JOULES else "{:.9g}".format
        asked = words(amount / _UNITS_PER[self.unit]) + (" usd" if self.unit == _USD else "")
        if amount > self.window.limit:
            problem = (
                f"{asked} are more than its whole limit of {words(status.limit)}; ask for less, or "
                "raise the limit"
            )
        else:
            problem = (
                f"{asked} do not fit: {words(status.spent)} spent and {words(status.held)} held of "
                f"{words(status.limit)}"
            )
        never = amount > self.window.limit
        retry_seconds = math.inf if never else self.window.seconds_until_fits(amount, now)
        return BudgetSpent(self.name, problem, retry_seconds)


class Budgets:
    """Limits on what was spent in the last hour and the last day, by everybody and by key.

    A window is a limit whatever the routing policy: ``best_effort`` may run a plan that exceeds
    what its own request asked for, never one that does not fit into a window. The windows roll;
    see ``RollingWindow`` for why they are no token buckets. Nothing here waits, so that on one
    event loop every call is atomic: of a thousand requests that want the last of a budget at once,
    as many get it as it is for.

    A hold that is neither settled nor released expires. Its dollars then count as spent, since the
    remote may well have charged them; its joules are given back, since nothing is charged for them
    later and the machine's own meter has seen what was burned. Settling it after that changes
    nothing.

    Args:
        hold_seconds: When a hold expires; longer than any request may take.
        clock: Seconds that never run backwards and go on while the machine sleeps, as what was
            spent ages meanwhile; tests inject their own.
        awake: Seconds that stand still then, as requests do; None is ``clock``, or with the real
            one the monotonic one.
    """

    def __init__(
        self,
        settings: BudgetSettings,
        hold_seconds: float = _HOUR_SECONDS,
        clock: Callable[[], float] = since_boot,
        awake: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._awake = awake or (time.monotonic if clock is since_boot else clock)
        self._hold_seconds = hold_seconds
        self._everybody = _windows(settings.everybody, "")
        self._by_key = {
            key: _windows(limits, f" of key {key}") for key, limits in settings.keys.items()
        }
        # In the order they were made, which is the order they expire in.
        self._holds: dict[int, Hold] = {}
        self._made = 0

    def hold(self, key: str, joules: float | None, usd: Decimal | None) -> Hold:
        """Holds what a request may spend, in every window that applies, or in none.

        Args:
            key: Name of the caller's key, or "".
            joules: Predicted energy; None, where nothing is known, holds none.
            usd: Most it may cost; None holds none.

        Raises:
            BudgetSpent: It does not fit; of several windows it names the one to wait longest for.
        """
        now = self._now()
        amounts = _amounts(joules, usd)
        refusal = self._refusal(key, amounts, now)
        if refusal is not None:
            raise refusal
        for named, amount in self._concerned(key, amounts):
            named.window.hold(amount)
        self._made += 1
        hold = Hold(self._made, key, amounts, self._awake() + self._hold_seconds)
        self._holds[hold.number] = hold
        return hold

    def refusal(self, key: str, joules: float | None, usd: Decimal | None) -> BudgetSpent | None:
        """What ``hold`` would raise now, or None; nothing is held."""
        return self._refusal(key, _amounts(joules, usd), self._now())

    def settle(self, hold: Hold, joules: float | None, usd: Decimal | None) -> None:
        """Counts what a request did spend, in place of what was held for it.

        Once only: a hold that was settled, released or has expired changes nothing any more.

        Args:
            hold: From ``hold``.
            joules: Energy spent; None, where it is not known, counts what was held.
            usd: What it cost; None counts what was held.
        """
        spent = {**hold.amounts, **_amounts(joules, usd)}
        now = self._now()
        if self._holds.pop(hold.number, None) is None:
            return
        self._free(hold)
        self._spend(hold.key, spent, now)

    def release(self, hold: Hold) -> None:
        """Gives back what was held for a request that spent nothing. Once only, as ``settle``."""
        self._now()
        if self._holds.pop(hold.number, None) is not None:
            self._free(hold)

    def status(self, key: str) -> tuple[WindowStatus, ...]:
        """How each window stands that applies to a key, those of everybody first."""
        now = self._now()
        return tuple(named.status(now) for named in self._applying(key))

    def all_status(self) -> tuple[WindowStatus, ...]:
        """How every window stands: the common ones, then those of each key."""
        now = self._now()
        return tuple(named.status(now) for named in self._all())

    def restore(self, events: Iterable[SpendEvent], now: float) -> None:
        """Fills the windows with what was spent before the start. Once, before any request.

        Args:
            events: From the ledger, which dates them so that clocks which jumped do no harm; older
                ones than the longest window do none either.
            now: What time it is by the ledger's clock, in UTC epoch seconds.
        """
        own_now = self._clock()
        for event in sorted(events, key=lambda event: event.at):
            age_seconds = max(0.0, now - event.at)
            self._spend(event.key, _amounts(event.joules, event.usd), own_now - age_seconds)

    def change(self, settings: BudgetSettings, events: Iterable[SpendEvent], now: float) -> None:
        """Takes other limits. A window that there was before keeps what is spent and held in it.

        Args:
            settings: The new limits.
            events: What fills the windows that are new, as for ``restore``.
            now: As for ``restore``.
        """
        own_now = self._now()
        before = {named.name: named for named in self._all()}
        self._everybody = _changed(_windows(settings.everybody, ""), before)
        self._by_key = {
            key: _changed(_windows(limits, f" of key {key}"), before)
            for key, limits in settings.keys.items()
        }
        new = {named.name for named in self._all()} - before.keys()
        for hold in self._holds.values():
            for named in self._applying(hold.key):
                if named.name in new:
                    named.window.hold(hold.amounts.get(named.unit, 0))
        for event in sorted(events, key=lambda event: event.at):
            amounts, age_seconds = _amounts(event.joules, event.usd), max(0.0, now - event.at)
            for named in self._applying(event.key):
                if named.name in new:
                    named.window.spend(amounts.get(named.unit, 0), own_now - age_seconds)

    def _all(self) -> Iterator[_NamedWindow]:
        yield from self._everybody
        for windows in self._by_key.values():
            yield from windows

    def _refusal(self, key: str, amounts: Mapping[str, int], now: float) -> BudgetSpent | None:
        refusals = [
            named.refusal(amount, now)
            for named, amount in self._concerned(key, amounts)
            if not named.window.fits(amount, now)
        ]
        return max(refusals, key=lambda refusal: refusal.retry_after_seconds, default=None)

    def _concerned(self, key: str, amounts: Mapping[str, int]) -> list[tuple[_NamedWindow, int]]:
        return [
            (named, amounts[named.unit]) for named in self._applying(key) if named.unit in amounts
        ]

    def _applying(self, key: str) -> tuple[_NamedWindow, ...]:
        return self._everybody + self._by_key.get(key, ())

    def _spend(self, key: str, amounts: Mapping[str, int], at: float) -> None:
        for named in self._applying(key):
            named.window.spend(amounts.get(named.unit, 0), at)

    def _free(self, hold: Hold) -> None:
        for named in self._applying(hold.key):
            named.window.release(hold.amounts.get(named.unit, 0))

    def _now(self) -> float:
        """The time, after holds that have expired by then were dealt with."""
        now, awake = self._clock(), self._awake()
        while self._holds:
            hold = next(iter(self._holds.values()))
            if hold.expires_at > awake:
                break
            del self._holds[hold.number]
            self._free(hold)
            self._spend(hold.key, {_USD: hold.amounts.get(_USD, 0)}, now)
        return now


def _windows(limits: BudgetLimits, owner: str) -> tuple[_NamedWindow, ...]:
    possible = (
        (_JOULES, "hour", _HOUR_SECONDS, limits.joules_per_hour),
        (_JOULES, "day", _DAY_SECONDS, limits.joules_per_day),
        (_USD, "hour", _HOUR_SECONDS, limits.usd_per_hour),
        (_USD, "day", _DAY_SECONDS, limits.usd_per_day),
    )
    return tuple(
        _NamedWindow(f"{unit} per {span}{owner}", unit, RollingWindow(_whole(unit, limit), seconds))
        for unit, span, seconds, limit in possible
        if limit != math.inf
    )


def _changed(
    windows: tuple[_NamedWindow, ...], before: Mapping[str, _NamedWindow]
) -> tuple[_NamedWindow, ...]:
    """The windows, with those of the same name before them in their places, at the new limit."""
    kept = []
    for named in windows:
        known = before.get(named.name)
        if known is not None:
            known.window.limit = named.window.limit
        kept.append(known or named)
    return tuple(kept)


def _amounts(joules: float | None, usd: Decimal | None) -> dict[str, int]:
    """What is known, in the smallest units, rounded up."""
    known = {}
    if joules is not None:
        if not (math.isfinite(joules) and joules >= 0):
            raise Internal(f"a budget cannot count {joules} joules")
        known[_JOULES] = math.ceil(joules * _UNITS_PER[_JOULES])
    if usd is not None:
        if not (usd.is_finite() and usd >= 0):
            raise Internal(f"a budget cannot count {usd} usd")
        known[_USD] = to_nano_usd(usd)
    return known


def _whole(unit: str, limit: float) -> int:
    return (
        to_nano_usd(from_float(limit)) if unit == _USD else math.floor(limit * _UNITS_PER[_JOULES])
    )
