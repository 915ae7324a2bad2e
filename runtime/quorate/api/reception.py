"""Whose message may be received now.

Until a message is asked for, a door keeps little of it: gRPC the window that a stream starts with,
HTTP what it has read ahead. Once it is asked for, the peer may send all of it and need never end
it, and what came stays in memory. So only some messages are received at once, of one caller and of
all; others wait, and small ones lose nothing by it, since they have arrived meanwhile. One that
takes long while others wait gives way. A large one that is whole keeps its place until it was read,
since it is in memory as long.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from quorate.api.reading import AT_ONCE_BYTES
from quorate.errors import Overloaded, PeerStalled

_RETRY_SECONDS = 1.0
_REMEMBERED_PEERS = 4096
_REMEMBERED_SECONDS = 60.0
# Rounds of the event loop at the least in which a message may come to its end.
_LOOKS = 4
# A message may keep others of its own caller waiting for so many times as long: a thousand that are
# sent at once are all whole, and not all of them can be taken at once.
_TIMES_FOR_ITS_OWN = 10

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class ReceptionLimits:
    """How many messages are received at once, and for how long.

    Attributes:
        most: Of all callers together; times the size of the largest message it is the most memory
            that messages take which are not finished, or wait to be read.
        most_each: Of one caller.
        most_waiting: Of one caller that wait for their turn; further ones are refused.
        patience_seconds: How long one that is received may keep those of other callers waiting;
            longer where the event loop is behind, and ten times as long those of its own caller,
            of whom none gave way for a minute.
        limit_seconds: How long a message may take, from the headers of its call.
    """

    most: int = 16
    most_each: int = 4
    most_waiting: int = 1024
    patience_seconds: float = 0.1
    limit_seconds: float = 30.0


@dataclass(eq=False, slots=True)
class _Turn:
    """A message that is received, or waits to be.

    Attributes:
        scope: Ends it when it is rescheduled to now.
        number: Its place in the order of arrival.
        begun: Done when it begins to be received.
        looked: How often it was found in the way of others.
        arrived: Whether it is whole, so that its peer can do no more about it.
        gave_way: Whether it was sent away for the sake of others.
    """

    caller: str
    peer: str
    scope: asyncio.Timeout
    number: int
    begun: asyncio.Future[None]
    looked: int = 0
    arrived: bool = False
    gave_way: bool = False


class Reception:
    """Receives messages of calls, so many at once. All calls belong on one event loop."""

    def __init__(self, limits: ReceptionLimits | None = None) -> None:
        self._limits = limits or ReceptionLimits()
        self._receiving: list[_Turn] = []
        # By caller, since many of one may wait behind the few that it receives.
        self._waiting: dict[str, list[_Turn]] = {}
        self._numbers = itertools.count()
        # Peers whose messages did not come to an end; theirs come last.
        self._slow: OrderedDict[str, int] = OrderedDict()
        # When a message of a caller gave way last.
        self._slow_callers: OrderedDict[str, float] = OrderedDict()
        self._look: asyncio.TimerHandle | None = None

    async def message(
        self,
        caller: str,
        peer: str,
        receive: Callable[[], Awaitable[object]],
        read: Callable[[Any], Awaitable[_Result]],
    ) -> _Result:
        """Receives one message in its turn, and returns what is read from it.

        Args:
            caller: Whose messages count together.
            peer: The connection it comes over.
            receive: Asks the transport for it.
            read: Makes of it what is kept of it.

        Raises:
            Overloaded: Too many of this caller wait, or for too long, or it took long while others
                waited.
            PeerStalled: It did not come to its end in time.
        """
        limit = self._limits.limit_seconds
        try:
            async with asyncio.timeout(limit) as scope:
                begun = asyncio.get_running_loop().create_future()
                turn = _Turn(caller, peer, scope, next(self._numbers), begun)
                async with self._received(turn):
                    data = await receive()
                    self._arrive(turn)
                    if isinstance(data, bytes) and len(data) > AT_ONCE_BYTES:
                        return await read(data)
                return await read(data)
        except TimeoutError:
            if turn.gave_way:
                raise Overloaded(
                    "the message had not come to its end while others waited for theirs; "
                    "send fewer large ones at once",
                    _RETRY_SECONDS,
                ) from None
            if not scope.expired():
                raise
            if not turn.begun.done() or turn.begun.cancelled():
                raise Overloaded(
                    f"other messages of this caller kept it waiting for {limit:g} s; send fewer at "
                    "once",
                    _RETRY_SECONDS,
                ) from None
            self._note_slow(peer)
            raise PeerStalled(
                f"the message of the request had not come to its end after {limit:g} s"
            ) from None

    def _arrive(self, turn: _Turn) -> None:
        """Takes the limits of its peer from a message that is whole."""
        if not turn.scope.expired():
            turn.arrived, turn.gave_way = True, False
            turn.scope.reschedule(None)

    @asynccontextmanager
    async def _received(self, turn: _Turn) -> AsyncIterator[None]:
        """Waits for its turn, which lasts as long as the context."""
        if len(self._waiting.get(turn.caller, ())) >= self._limits.most_waiting:
            raise Overloaded("too many messages of this caller wait to be received", _RETRY_SECONDS)
        self._waiting.setdefault(turn.caller, []).append(turn)
        try:
            self._go_on()
            await turn.begun
            yield
        finally:
            if turn in self._receiving:
                self._receiving.remove(turn)
            else:
                self._end_wait(turn)
            self._go_on()

    def _end_wait(self, turn: _Turn) -> None:
        waiting = self._waiting[turn.caller]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[turn.caller]

    def _go_on(self) -> None:
        """Begins what may begin, and sees to it that what waits gets room in time."""
        busy = Counter(turn.caller for turn in self._receiving)
        while len(self._receiving) < self._limits.most and (turn := self._next(busy)) is not None:
            busy[turn.caller] += 1
            self._end_wait(turn)
            self._receiving.append(turn)
            if not turn.begun.done():
                turn.begun.set_result(None)
        if self._waiting and self._look is None:
            self._make_room()

    def _next(self, busy: Mapping[str, int]) -> _Turn | None:
        """Who is first of those that may begin; those of slow peers are last."""
        may_begin = [
            turn
            for caller, turns in self._waiting.items()
            if busy.get(caller, 0) < self._limits.most_each
            for turn in turns
        ]
        return min(may_begin, key=self._place, default=None)

    def _place(self, turn: _Turn) -> tuple[int, int]:
        return self._slow.get(turn.peer, 0), turn.number

    def _make_room(self) -> None:
        """Sends those away that keep others waiting for too long, and looks again in time.

        Time counts by looks, between which the event loop takes what has come: while it has much
        to do it is late for its looks as well, and what waits to be taken is not the peer's fault.
        """
        self._look = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        room = sum(map(len, self._waiting.values()))
        for turn, most_looks in self._in_the_way():
            turn.looked += 1
            if not room or turn.looked <= most_looks:
                continue
            turn.gave_way = True
            self._note_slow(turn.peer)
            self._slow_callers[turn.caller] = loop.time()
            turn.scope.reschedule(loop.time())
            room -= 1
        self._look = loop.call_later(self._limits.patience_seconds / _LOOKS, self._make_room)

    def _in_the_way(self) -> list[tuple[_Turn, int]]:
        """Those whose place somebody waits for, and how often they may be found so.

        Where all places are taken these are the ones of whoever holds most of them, in the way of
        others, and else those of callers of whom more wait.
        """
        held = Counter(turn.caller for turn in self._receiving)
        full = len(self._receiving) >= self._limits.most
        most = max(held.values(), default=0)
        found = []
        for turn in sorted(self._receiving, key=lambda one: (-one.looked, one.number)):
            # One whose time is up is on its way out already.
            if turn.arrived or turn.gave_way or turn.scope.expired():
                continue
            others = len(self._waiting) > (turn.caller in self._waiting)
            if full and others and held[turn.caller] == most:
                found.append((turn, _LOOKS))
            elif turn.caller in self._waiting:
                times = 1 if self._was_slow(turn.caller) else _TIMES_FOR_ITS_OWN
                found.append((turn, _LOOKS * times))
        return found

    def _was_slow(self, caller: str) -> bool:
        """Whether a message of this caller gave way not long ago: others are given less time."""
        since = self._slow_callers.get(caller)
        now = asyncio.get_running_loop().time()
        return since is not None and now < since + _REMEMBERED_SECONDS

    def _note_slow(self, peer: str) -> None:
        self._slow[peer] = self._slow.pop(peer, 0) + 1
        for remembered in (self._slow, self._slow_callers):
            while len(remembered) > _REMEMBERED_PEERS:
                remembered.popitem(last=False)
