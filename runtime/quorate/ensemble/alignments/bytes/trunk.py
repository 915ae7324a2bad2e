"""One session of a byte beam: the contexts along its tokens, and the guesses beyond them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from quorate.engines.byte_order import PrefixSums
from quorate.engines.contract import LogProbs, Session
from quorate.errors import Unavailable


class _Resting(Protocol):
    @property
    def length(self) -> int:
        """Tokens behind the prompt."""
        ...


_Context = TypeVar("_Context", bound=_Resting)


class Known(NamedTuple):
    """What follows some tokens: the row, its prefix sums if there are any, and what was masked."""

    row: LogProbs
    sums: PrefixSums | None
    masked_mass: float


class Trunk(Generic[_Context]):
    """A session that holds tokens of a tree of contexts.

    Args:
        session: Owned from now on.
        length: Tokens behind the prompt that it holds.
        alone: Whether it is the only one of its fork group; such have no prefix sums.

    Attributes:
        length: Tokens behind the prompt that it holds or was fed.
        users: The contexts that rest on it, in any order.
    """

    def __init__(self, session: Session, length: int, *, alone: bool = False) -> None:
        self.session = session
        self._alone = alone
        self.length = length
        self.users: list[_Context] = []
        # What was guessed in its last feed begins behind so many tokens, and reaches that far into
        # contexts that were made.
        self._base = length
        self._guesses: list[int] = []
        self._used = length
        # What was computed in the last feed, the first of it behind so many tokens.
        self._first = length
        self._known: Sequence[Known] = ()
        # What was known before, of the guesses that are still there.
        self._before: Sequence[Known] = ()
        self._pending: Awaitable[Any] | None = None
        self._began = 0.0

    @property
    def deepest(self) -> int:
        """Length of the longest context on it."""
        return max(context.length for context in self.users)

    @property
    def beyond(self) -> int:
        """Tokens that it holds beyond all contexts."""
        return self.length - self.deepest

    @property
    def unused(self) -> int:
        """Guesses of which no context was made."""
        return self.length - self._used

    @property
    def waiting(self) -> bool:
        """Whether what it was fed has not been waited for."""
        return self._pending is not None

    def feed(self, tokens: Sequence[int], length: int, guesses: Sequence[int] = ()) -> None:
        """Starts on more tokens, and on guesses behind them in the same call.

        Args:
            tokens: Those that are no guess; may be none where there are guesses.
            length: Tokens behind the prompt that it holds with them.
            guesses: At most as many as the engine gives rows for, see ``ModelFacts.block_rows``.
        """
        self._base = self._used = length
        self._guesses = [*guesses]
        self._first = length if tokens else length + 1
        self._known = self._before = ()
        self.length = length + len(guesses)
        self._began = self.session.busy_seconds
        if guesses:
            rows = len(guesses) + bool(tokens)
            self._pending = self.session.feed_block([*tokens, *guesses], rows)
        else:
            self._pending = self.session.feed(tokens)

    async def guess(self, token: int) -> Known:
        """Goes on by one more guess, at rest, and waits for what follows it.

        Raises:
            WorkerLost: What ``Session.feed`` raises.
        """
        if self.length < self._base:
            # What was fed last is gone but for its beginning.
            self._base = self._used = self.length
            self._guesses, self._first, self._known = [], self.length + 1, ()
        # The rows of the last feed do not outlive the next one.
        self._before = [_copied(one) for one in self._known[: self.length - self._first + 1]]
        self._known = self._before
        self._guesses.append(token)
        self.length += 1
        self._began = self.session.busy_seconds
        self._pending = self.session.feed((token,))
        await self.wait()
        return self._known[-1]

    async def wait(self) -> float:
        """Waits until what it was fed is computed; returns the seconds that it took."""
        if self._pending is None:
            return 0.0
        result = await self._pending
        self._pending = None
        session = self.session
        if result.ndim == 1:
            sums = None if self._alone else session.prefix_sums
            self._known = [*self._before, Known(result, sums, session.masked_mass)]
        else:
            all_sums = [None] * len(result) if self._alone else session.block_sums
            masked = session.block_masked.tolist()
            self._known = [*map(Known, result, all_sums, masked)]
        return session.busy_seconds - self._began

    def row(self, length: int) -> Known:
        """What follows its first tokens behind the prompt, so many of them."""
        self._used = max(self._used, length)
        return self._known[length - self._first]

    def known(self, length: int) -> Known | None:
        """What follows its first tokens, so many of them, where that is known; they stay unused."""
        at = length - self._first
        return self._known[at] if 0 <= at < len(self._known) and length <= self.length else None

    def guessed(self, length: int, tokens: Sequence[int]) -> bool:
        """Whether these tokens were guessed behind its first ones, so many of them."""
        start = length - self._base
        return start >= 0 and self._guesses[start : start + len(tokens)] == [*tokens]

    def next_guess(self, length: int) -> int | None:
        """The token that was guessed behind its first ones, so many of them."""
        start = length - self._base
        return self._guesses[start] if 0 <= start < len(self._guesses) else None

    def branch(self, length: int) -> Trunk[_Context]:
        """A session of its own with the first tokens behind the prompt, so many of them.

        Raises:
            WorkerLost: The process behind the engine died.
        """
        session = self.session.branch()
        if length < self.length:
            session.rewind(self.length - length)
        return Trunk(session, length)

    def cut(self, length: int) -> int:
        """Forgets all but its first tokens; returns how many unused guesses are gone with them."""
        count = self.length - length
        if count <= 0:
            return 0
        unused = min(count, self.unused)
        # Whoever is lost says so when it is fed.
        with suppress(Unavailable):
            self.session.rewind(count)
        self.length = length
        self._used = min(self._used, length)
        del self._guesses[max(0, length - self._base) :]
        return unused


def _copied(one: Known) -> Known:
    """The same in memory of its own."""
    row = one.row if one.row.base is None else one.row.copy()
    sums = one.sums if one.sums is None or one.sums.base is None else one.sums.copy()
    return Known(row, sums, one.masked_mass)
