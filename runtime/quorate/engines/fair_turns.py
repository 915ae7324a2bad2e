"""Whose turn is next among callers: theirs who were served least, by weight.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): a caller who comes back starts at the
virtual time of now, with no credit for having been away; whoever begins pays for it in virtual
time, and the virtual time is that of the last one who began. What a turn really took is known at
its end and settled then, as the virtual token counter does (Sheng et al., "Fairness in Serving
Large Language Models", OSDI 2024). Of one caller, who came first is first.
"""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_RECENTLY_SECONDS = 60.0
_REMEMBERED = 1024
_KEPT_FREE = 8

_Waiter = TypeVar("_Waiter")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for turns.

    Attributes:
        name: All requests of one name take turns with those of other names.
        weight: How much it gets of what is short, against others.
        shares: Whether others may come at any time, so that something is kept free for them.
    """

    name: str = ""
    weight: float = 1.0
    shares: bool = False


CALLER: ContextVar[Caller] = ContextVar("quorate_caller", default=Caller())  # noqa: B039 - frozen
"""Who the current task works for."""


def kept_free(places: int) -> int:
    """How many of so many places are kept for callers who hold none, while others may come."""
    return max(1, places // _KEPT_FREE) if places >= _KEPT_FREE / 2 else 0


@dataclass(eq=False, slots=True)
class _Account(Generic[_Waiter]):
    caller: Caller
    served: float = 0.0
    running: int = 0
    seen_at: float = 0.0
    waiting: OrderedDict[_Waiter, int] = field(default_factory=OrderedDict)

    @property
    def active(self) -> bool:
        return bool(self.running or self.waiting)


class FairTurns(Generic[_Waiter]):
    """Keeps those who wait, and what callers were served.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Those who came last are last.
        self._accounts: OrderedDict[str, _Account[_Waiter]] = OrderedDict()
        self._virtual = 0.0
        self._arrivals = 0
        self.waiting = 0

    def wait(self, caller: Caller, waiter: _Waiter) -> None:
        """Somebody waits for a turn, behind those of the same caller."""
        self._arrivals += 1
        self._account(caller).waiting[waiter] = self._arrivals
        self.waiting += 1

    def leave(self, caller: Caller, waiter: _Waiter) -> None:
        """Waits no more, if it still did: it has its turn, or went away."""
        account = self._accounts.get(caller.name)
        if account is not None and account.waiting.pop(waiter, None) is not None:
            self.waiting -= 1

    def begin(self, caller: Caller, cost: float) -> None:
        """A turn of this caller begins, which is expected to take so much."""
        account = self._account(caller)
        self._virtual = max(self._virtual, account.served)
        account.served += cost / caller.weight
        account.running += 1

    def end(self, caller: Caller, more: float = 0.0) -> None:
        """A turn ends that took so much more than was expected, or less."""
        account = self._accounts[caller.name]
        account.served += more / caller.weight
        account.running -= 1

    def heads(self) -> Iterator[tuple[Caller, _Waiter]]:
        """Of each caller who first waits, those first whose turn it is.

        Mostly the first one is all that is asked for, so that the others are not sorted.
        """
        waiting = [
            (account.served, next(iter(account.waiting.values())), account)
            for account in self._accounts.values()
            if account.waiting
        ]
        heapq.heapify(waiting)
        while waiting:
            # No two arrived at the same number, so that accounts are never compared.
            account = heapq.heappop(waiting)[2]
            yield account.caller, next(iter(account.waiting))

    def everyone(self) -> list[tuple[Caller, _Waiter]]:
        """All who wait, each with its caller."""
        return [
            (account.caller, waiter)
            for account in self._accounts.values()
            for waiter in account.waiting
        ]

    def running_of(self, caller: Caller) -> int:
        """Turns of this caller that run."""
        account = self._accounts.get(caller.name)
        return account.running if account else 0

    def ahead_of(self, caller: Caller) -> int:
        """About how many who wait have their turn before another request of this caller."""
        own = self.waiting_of(caller)
        return sum(
            min(len(account.waiting), own + (account.caller.name != caller.name))
            for account in self._accounts.values()
        )

    def last_of_longest(self, caller: Caller) -> tuple[Caller, _Waiter] | None:
        """Who came last of the caller with most waiting by weight; None where that is this one.

        Dropping from the longest queue (McKenney, "Stochastic fairness queueing", 1990) lets one
        caller use all the room while nobody else wants it.
        """
        own = (self.waiting_of(caller) + 1) / caller.weight
        longest = max(
            self._accounts.values(),
            key=lambda one: len(one.waiting) / one.caller.weight,
            default=None,
        )
        if longest is None or len(longest.waiting) / longest.caller.weight <= own:
            return None
        return longest.caller, next(reversed(longest.waiting))

    def contended(self, caller: Caller) -> bool:
        """Whether anybody else may want a turn soon, as far as is known."""
        if caller.shares:
            return True
        others = (
            one for one in reversed(self._accounts.values()) if one.caller.name != caller.name
        )
        other = next(others, None)
        return other is not None and (
            other.active or self._clock() - other.seen_at < _RECENTLY_SECONDS
        )

    def waiting_of(self, caller: Caller) -> int:
        """How many of this caller wait."""
        account = self._accounts.get(caller.name)
        return len(account.waiting) if account else 0

    def _account(self, caller: Caller) -> _Account[_Waiter]:
        account = self._accounts.get(caller.name)
        if account is None:
            account = self._accounts[caller.name] = _Account(caller)
            self._forget()
        account.caller = caller
        account.seen_at = self._clock()
        self._accounts.move_to_end(caller.name)
        if not account.active:
            account.served = max(account.served, self._virtual)
        return account

    def _forget(self) -> None:
        if len(self._accounts) <= _REMEMBERED:
            return
        for name in [name for name, one in self._accounts.items() if not one.active][:-1]:
            del self._accounts[name]
