"""Who may open a session: slots and KV tokens of one model, granted to callers in turn.

Of one caller it goes by arrival, and nobody overtakes whose turn it is: a small request behind a
large one waits although it would fit, because otherwise a stream of small ones would keep the large
one out for ever. A request that can never fit is the engine's to refuse; here it would wait for
ever. While others may come, who holds much already leaves some for those who hold little.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quorate.engines.contract import ModelFacts
from quorate.engines.fair_turns import CALLER, Caller, FairTurns, kept_free
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


@dataclass(eq=False, slots=True)
class _Waiter:
    """Who waits for so much."""

    kv_tokens: int
    slots: int
    granted: asyncio.Future[Reservation]


class Admission:
    """Grants reservations within an event loop.

    Who asks is what ``fair_turns.CALLER`` says of the task.
    """

    def __init__(self, sessions: int, kv_tokens: int) -> None:
        self._slots = list(range(sessions))
        self._kv_tokens = kv_tokens
        self._kept_slots, self._kept_kv_tokens = kept_free(sessions), kept_free(kv_tokens)
        self._granted: dict[Reservation, Caller] = {}
        self._turns: FairTurns[_Waiter] = FairTurns()

    @property
    def free_kv_tokens(self) -> int:
        """KV tokens that nobody has reserved."""
        return self._kv_tokens

    @property
    def waiting(self) -> int:
        """How many wait for a reservation."""
        return sum(not waiter.granted.done() for _, waiter in self._turns.everyone())

    async def acquire(self, kv_tokens: int, slots: int = 1) -> Reservation:
        """Waits in turn for so many slots and KV tokens.

        Cancelling the task that waits gives up its turn.

        Raises:
            BaseException: Whatever ``fail_all`` was given while this waited.
        """
        caller = CALLER.get()
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(kv_tokens, slots, future)
        self._turns.wait(caller, waiter)
        self._admit()
        try:
            return await future
        except asyncio.CancelledError:
            self._turns.leave(caller, waiter)
            self._abandon(future)
            raise

    def try_acquire(self, kv_tokens: int, slots: int = 1) -> Reservation | None:
        """Grants a reservation at once, or returns None; whoever waits is not asked."""
        if slots > len(self._slots) or kv_tokens > self._kv_tokens:
            return None
        return self._grant(CALLER.get(), kv_tokens, slots)

    def release(self, reservation: Reservation) -> None:
        """Takes a reservation back and admits who can now go on.

        Raises:
            ValueError: It is not held any more.
        """
        caller = self._granted.pop(reservation, None)
        if caller is None:
            raise ValueError(f"slots {reservation.slots} were released already")
        self._turns.end(caller)
        for slot in reservation.slots:
            heapq.heappush(self._slots, slot)
        self._kv_tokens += reservation.kv_tokens
        self._admit()

    def fail_all(self, error: BaseException) -> None:
        """Wakes everyone who waits with ``error``; what was granted already stays."""
        for caller, waiter in self._turns.everyone():
            self._turns.leave(caller, waiter)
            if not waiter.granted.done():
                waiter.granted.set_exception(error)

    def _admit(self) -> None:
        while (chosen := self._next()) is not None:
            caller, waiter = chosen
            self._turns.leave(caller, waiter)
            if not waiter.granted.done():
                waiter.granted.set_result(self._grant(caller, waiter.kv_tokens, waiter.slots))

    def _next(self) -> tuple[Caller, _Waiter] | None:
        """Whose turn it is and can go on; those who must leave something free are passed over."""
        for caller, waiter in self._turns.heads():
            if waiter.slots > len(self._slots) or waiter.kv_tokens > self._kv_tokens:
                return None
            if self._leaves_enough(caller, waiter):
                return caller, waiter
        return None

    def _leaves_enough(self, caller: Caller, waiter: _Waiter) -> bool:
        if not self._turns.running_of(caller) or not self._turns.contended(caller):
            return True
        held = [one for one, whose in self._granted.items() if whose.name == caller.name]
        slots = sum(len(one.slots) for one in held) + waiter.slots
        kv_tokens = sum(one.kv_tokens for one in held) + waiter.kv_tokens
        little = slots <= self._kept_slots and kv_tokens <= self._kept_kv_tokens
        return little or (
            len(self._slots) - waiter.slots >= self._kept_slots
            and self._kv_tokens - waiter.kv_tokens >= self._kept_kv_tokens
        )

    def _grant(self, caller: Caller, kv_tokens: int, slots: int) -> Reservation:
        numbers = [heapq.heappop(self._slots) for _ in range(slots)]
        reservation = Reservation(numbers, kv_tokens, self.release)
        self._kv_tokens -= kv_tokens
        self._granted[reservation] = caller
        self._turns.begin(caller, kv_tokens)
        return reservation

    def _abandon(self, future: asyncio.Future[Reservation]) -> None:
        # Between the wake-up and the cancellation it may have been granted, or an error been set.
        if future.done() and not future.cancelled() and future.exception() is None:
            self.release(future.result())
            return
        self._admit()
