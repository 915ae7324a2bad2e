"""One rolling window of a budget."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

SLOTS = 3600
"""Parts a window is divided into: what was spent within one part ages out together."""

_HELD_SECONDS = 1.0


@dataclass(slots=True)
class _Slot:
    """Spending that ages out at one time."""

    free_at: float
    amount: int


class RollingWindow:
    """Keeps what was spent in the last so many seconds, and what is held, below a limit.

    The sum over any stretch of that length never passes the limit, while nobody settles more than
    they held. A token bucket of the same size would not keep that: full at the start, it lets its
    size through at once and as much again while it refills, which is twice the limit in one window.

    What was spent is gathered in slots of a 3600th of the window, which bounds the memory however
    many requests there are. A slot counts until the last of it has aged, so that the window errs
    on the side of waiting, by less than one slot.

    It has no clock: the caller says what time it is, in seconds that never run backwards. Amounts
    are whole numbers of the smallest unit, so that nothing is left over by rounding.

    Args:
        limit: Most that may be spent and held; 0 allows nothing.

    Attributes:
        held: What is held for requests that run.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._slot_seconds = seconds / SLOTS
        self._slots: deque[_Slot] = deque()
        self._spent = 0
        self.held = 0

    def spent(self, now: float) -> int:
        """What was spent within the last window."""
        self._forget(now)
        return self._spent

    def fits(self, amount: int, now: float) -> bool:
        """Whether so much more may be held."""
        return self.spent(now) + self.held + amount <= self.limit

    def hold(self, amount: int) -> None:
        """Sets an amount aside, whether it fits or not."""
        self.held += amount

    def release(self, amount: int) -> None:
        """Gives back what was held."""
        self.held -= amount

    def spend(self, amount: int, at: float) -> None:
        """Counts an amount as spent at a time that is not before the last one's."""
        if not amount:
            return
        # Rounded up to the end of the slot: what is spent at its very beginning waits longest.
        end = (math.floor(at / self._slot_seconds) + 1) * self._slot_seconds
        free_at = end + self.seconds
        self._spent += amount
        if self._slots and self._slots[-1].free_at >= free_at:
            self._slots[-1].amount += amount
        else:
            self._slots.append(_Slot(free_at, amount))

    def seconds_until_fits(self, amount: int, now: float) -> float:
        """When so much more may fit, in seconds from now.

        Exact where nothing is held. Nobody knows what holds will become, but those who made them
        spend less than they held, mostly, and soon: so the answer is when it would fit without
        them, but not at once. More than the limit waits for as long as the window is.
        """
        if self.fits(amount, now):
            return 0.0
        excess = self._spent + amount - self.limit
        soonest = _HELD_SECONDS if self.held else 0.0
        if excess <= 0:
            return soonest
        for slot in self._slots:
            excess -= slot.amount
            if excess <= 0:
                return max(soonest, slot.free_at - now)
        return self.seconds

    def seconds_until_empty(self, now: float) -> float:
        """When all that was spent until now will have aged out, in seconds from now."""
        self._forget(now)
        return self._slots[-1].free_at - now if self._slots else 0.0

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0].free_at <= now:
            self._spent -= self._slots.popleft().amount
