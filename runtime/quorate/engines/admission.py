"""Who may open a session: slots and KV cells of one model, granted in order of arrival.

Nobody overtakes. A small request behind a large one waits although it would fit, because otherwise
a stream of small ones would keep the large one out for ever. A request that can never fit is the
engine's to refuse; here it would wait for ever.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """The right to one session.

    Attributes:
        slot: Its number, in ``range(sessions)``; no two leases share one.
        cells: KV cells reserved for it.
    """

    slot: int
    cells: int


class Admission:
    """Grants leases within an event loop.

    Args:
        sessions: Most leases at once.
        cells: Most cells of all leases together.
    """

    def __init__(self, sessions: int, cells: int) -> None:
        self._slots = list(range(sessions))
        self._cells = cells
        self._leases: set[Lease] = set()
        self._waiters: deque[tuple[int, asyncio.Future[Lease]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a lease."""
        return sum(not future.done() for _, future in self._waiters)

    async def acquire(self, cells: int) -> Lease:
        """Waits in order of arrival for a slot and ``cells`` cells.

        Cancelling the task that waits gives up its place.

        Raises:
            BaseException: Whatever ``fail_all`` was given while this waited.
        """
        if not self.waiting:
            lease = self.try_acquire(cells)
            if lease is not None:
                return lease
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiters.append((cells, future))
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(future)
            raise

    def try_acquire(self, cells: int) -> Lease | None:
        """Grants a lease at once, past those who wait, or returns None.

        Meant for forks: their parent holds what others wait for, so letting them pass is what ends
        the wait soonest.
        """
        if not self._slots or cells > self._cells:
            return None
        lease = Lease(heapq.heappop(self._slots), cells)
        self._cells -= cells
        self._leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Takes a lease back and admits who can now go on.

        Raises:
            ValueError: The lease is not held any more.
        """
        if lease not in self._leases:
            raise ValueError(f"slot {lease.slot} was released already")
        self._leases.remove(lease)
        heapq.heappush(self._slots, lease.slot)
        self._cells += lease.cells
        self._admit()

    def fail_all(self, error: BaseException) -> None:
        """Wakes everyone who waits with ``error``; leases already granted stay."""
        waiters, self._waiters = self._waiters, deque()
        for _, future in waiters:
            if not future.done():
                future.set_exception(error)

    def _admit(self) -> None:
        while self._waiters:
            cells, future = self._waiters[0]
            if not future.done():
                lease = self.try_acquire(cells)
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
