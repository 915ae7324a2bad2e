"""Who may open a session: slots and KV cells of one model, granted in order of arrival.

Nobody overtakes. A small request behind a large one waits although it would fit, because otherwise
a stream of small ones would keep the large one out for ever. A request that can never fit is the
engine's to refuse; here it would wait for ever.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from quorate.engines.contract import ModelFacts
from quorate.errors import UnsupportedPlan


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """The right to one session, or to a family of a session and its branches.

    Attributes:
        slots: Their numbers, in ``range(sessions)``; no two leases share one.
        cells: KV cells reserved for all of them together.
    """

    slots: tuple[int, ...]
    kv_tokens: int


class Places:
    """The slots of a lease, taken and given back one by one; the last one ends the lease.

    Args:
        lease: Freshly granted; its first slot is taken from the start.
        tokens: Most tokens of one session.
        release: Takes the lease back.
    """

    def __init__(self, lease: Lease, tokens: int, release: Callable[[Lease], None]) -> None:
        self.first = lease.slots[0]
        self.tokens = tokens
        self._lease = lease
        self._release = release
        self._free = list(lease.slots[:0:-1])

    @property
    def branching(self) -> bool:
        """Whether there are places for branches."""
        return len(self._lease.slots) > 1

    def take(self) -> int | None:
        """A free slot, or None where all are taken."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Frees a slot that was taken."""
        self._free.append(slot)
        if len(self._free) == len(self._lease.slots):
            self._release(self._lease)


def kv_tokens_for(facts: ModelFacts, tokens: int, branches: int, model: str) -> int:
    """KV cells to reserve for a session of so many tokens and its branches.

    Raises:
        UnsupportedPlan: There can never be so many sessions, or cells for them.
    """
    if branches >= facts.sessions:
        raise UnsupportedPlan(
            f"model {model}",
            f"{branches} branches need more sessions than its {facts.sessions}",
        )
    kv_tokens = tokens if facts.shares_kv else tokens * (1 + branches)
    if branches and kv_tokens > facts.kv_tokens:
        raise UnsupportedPlan(
            f"model {model}",
            f"{branches} branches of {tokens} tokens, which its engine cannot share, need "
            f"{kv_tokens} KV cells and it has {facts.kv_tokens}; ask for a narrower beam or a "
            "shorter answer",
        )
    return kv_tokens


class Admission:
    """Grants leases within an event loop.

    Args:
        sessions: Most leases at once.
        cells: Most cells of all leases together.
    """

    def __init__(self, sessions: int, kv_tokens: int) -> None:
        self._slots = list(range(sessions))
        self._cells = kv_tokens
        self._leases: set[Lease] = set()
        self._waiters: deque[tuple[int, int, asyncio.Future[Lease]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a lease."""
        return sum(not future.done() for *_, future in self._waiters)

    async def acquire(self, kv_tokens: int, slots: int = 1) -> Lease:
        """Waits in order of arrival for so many slots and cells.

        Cancelling the task that waits gives up its place.

        Raises:
            BaseException: Whatever ``fail_all`` was given while this waited.
        """
        if not self.waiting:
            lease = self.try_acquire(kv_tokens, slots)
            if lease is not None:
                return lease
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiters.append((kv_tokens, slots, future))
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(future)
            raise

    def try_acquire(self, kv_tokens: int, slots: int = 1) -> Lease | None:
        """Grants a lease at once, past those who wait, or returns None.

        Meant for forks: their parent holds what others wait for, so letting them pass is what ends
        the wait soonest.
        """
        if slots > len(self._slots) or kv_tokens > self._cells:
            return None
        lease = Lease(tuple(heapq.heappop(self._slots) for _ in range(slots)), kv_tokens)
        self._cells -= kv_tokens
        self._leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Takes a lease back and admits who can now go on.

        Raises:
            ValueError: The lease is not held any more.
        """
        if lease not in self._leases:
            raise ValueError(f"slots {lease.slots} were released already")
        self._leases.remove(lease)
        for slot in lease.slots:
            heapq.heappush(self._slots, slot)
        self._cells += lease.kv_tokens
        self._admit()

    def fail_all(self, error: BaseException) -> None:
        """Wakes everyone who waits with ``error``; leases already granted stay."""
        waiters, self._waiters = self._waiters, deque()
        for *_, future in waiters:
            if not future.done():
                future.set_exception(error)

    def _admit(self) -> None:
        while self._waiters:
            kv_tokens, slots, future = self._waiters[0]
            if not future.done():
                lease = self.try_acquire(kv_tokens, slots)
                if lease is None:
                    return
                future.set_result(lease)
            self._waiters.popleft()

    def _abandon(self, future: asyncio.Future[Lease]) -> None:
        # A lease may have been granted, or an error set, between the wake-up and the cancellation.
        if not future.cancelled() and future.exception() is None:
            self.release(future.result())
            return
        self._admit()
