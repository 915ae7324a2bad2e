"""Who may open a session: slots and KV tokens of one model, granted in order of arrival.

Nobody overtakes. A small request behind a large one waits although it would fit, because otherwise
a stream of small ones would keep the large one out for ever. A request that can never fit is the
engine's to refuse; here it would wait for ever.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence

from quorate.engines.contract import ModelFacts
from quorate.errors import PromptTooLong, UnsupportedPlan


class Reservation:
    """What admission granted: a session's slot and KV tokens, or those of a whole fork group.

    The slots are taken and given back one by one; with the last one it all ends. The first is taken
    from the start.

    Attributes:
        slots: Their numbers, in ``range(sessions)``; no two reservations share one.
        kv_tokens: Tokens that the KV cache holds for all of them together.
    """

    def __init__(
        self, slots: Sequence[int], kv_tokens: int, release: Callable[[Reservation], None]
    ) -> None:
        self.slots = tuple(slots)
        self.kv_tokens = kv_tokens
        self._release = release
        self._free = list(self.slots[:0:-1])

    @property
    def first(self) -> int:
        """The slot that is taken from the start."""
        return self.slots[0]

    @property
    def branching(self) -> bool:
        """Whether there are slots for branches."""
        return len(self.slots) > 1

    def take(self) -> int | None:
        """A free slot, or None where all are taken."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Frees a slot that was taken."""
        self._free.append(slot)
        if len(self._free) == len(self.slots):
            self._release(self)


def required_kv_tokens(facts: ModelFacts, max_tokens: int, branches: int, model: str) -> int:
    """KV tokens to reserve for a session of so many tokens and its branches.

    Raises:
        PromptTooLong: No session can ever be as long.
        UnsupportedPlan: There can never be so many sessions, or KV tokens for them.
    """
    longest = min(facts.context_length, facts.kv_tokens)
    if max_tokens > longest:
        problem = f"{max_tokens} tokens with the answer, but model {model} holds {longest}"
        raise PromptTooLong("prompt", problem)
    if branches >= facts.sessions:
        raise UnsupportedPlan(
            f"model {model}", f"{branches} branches need more sessions than its {facts.sessions}"
        )
    kv_tokens = max_tokens if facts.shares_kv else max_tokens * (1 + branches)
    if branches and kv_tokens > facts.kv_tokens:
        raise UnsupportedPlan(
            f"model {model}",
            f"{branches} branches of {max_tokens} tokens, which its engine cannot share, need "
            f"{kv_tokens} KV cells and it has {facts.kv_tokens}; ask for a narrower beam or a "
            "shorter answer",
        )
    return kv_tokens


class Admission:
    """Grants reservations within an event loop."""

    def __init__(self, sessions: int, kv_tokens: int) -> None:
        self._slots = list(range(sessions))
        self._kv_tokens = kv_tokens
        self._granted: set[Reservation] = set()
        self._waiters: deque[tuple[int, int, asyncio.Future[Reservation]]] = deque()

    @property
    def free_kv_tokens(self) -> int:
        """KV tokens that nobody has reserved."""
        return self._kv_tokens

    @property
    def waiting(self) -> int:
        """How many wait for a reservation."""
        return sum(not future.done() for *_, future in self._waiters)

    async def acquire(self, kv_tokens: int, slots: int = 1) -> Reservation:
        """Waits in order of arrival for so many slots and KV tokens.

        Cancelling the task that waits gives up its turn.

        Raises:
            BaseException: Whatever ``fail_all`` was given while this waited.
        """
        if not self.waiting:
            reservation = self.try_acquire(kv_tokens, slots)
            if reservation is not None:
                return reservation
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        self._waiters.append((kv_tokens, slots, future))
        try:
            return await future
        except asyncio.CancelledError:
            self._abandon(future)
            raise

    def try_acquire(self, kv_tokens: int, slots: int = 1) -> Reservation | None:
        """Grants a reservation at once, or returns None; whoever waits is not asked."""
        if slots > len(self._slots) or kv_tokens > self._kv_tokens:
            return None
        numbers = [heapq.heappop(self._slots) for _ in range(slots)]
        reservation = Reservation(numbers, kv_tokens, self.release)
        self._kv_tokens -= kv_tokens
        self._granted.add(reservation)
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Takes a reservation back and admits who can now go on.

        Raises:
            ValueError: It is not held any more.
        """
        if reservation not in self._granted:
            raise ValueError(f"slots {reservation.slots} were released already")
        self._granted.remove(reservation)
        for slot in reservation.slots:
            heapq.heappush(self._slots, slot)
        self._kv_tokens += reservation.kv_tokens
        self._admit()

    def fail_all(self, error: BaseException) -> None:
        """Wakes everyone who waits with ``error``; what was granted already stays."""
        waiters, self._waiters = self._waiters, deque()
        for *_, future in waiters:
            if not future.done():
                future.set_exception(error)

    def _admit(self) -> None:
        while self._waiters:
            kv_tokens, slots, future = self._waiters[0]
            if not future.done():
                reservation = self.try_acquire(kv_tokens, slots)
                if reservation is None:
                    return
                future.set_result(reservation)
            self._waiters.popleft()

    def _abandon(self, future: asyncio.Future[Reservation]) -> None:
        # Between the wake-up and the cancellation it may have been granted, or an error been set.
        if not future.cancelled() and future.exception() is None:
            self.release(future.result())
            return
        self._admit()
