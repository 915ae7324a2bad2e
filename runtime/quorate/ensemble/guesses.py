"""A member's session that may be fed what will probably be chosen, ahead of the choice.

Branch prediction, and no other algorithm: whatever is guessed, every feed is answered with the row
that the chosen tokens have. A right guess has it ready; a wrong one is rewound, and costs what it
took.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, TypeVar

from quorate.engines.contract import LogProbRows, LogProbs, ModelFacts, Session
from quorate.errors import Unavailable
from quorate.sampling.peaks import Maxima

_Result = TypeVar("_Result")


def reach_of(facts: ModelFacts) -> int:
    """Most tokens that a model computes ahead of a choice in one call; 0 where it cannot.

    What it cannot forget it must not guess.
    """
    return facts.block_rows - 1 if facts.capabilities.rewind else 0


class GuessingSession:
    """A session, the chosen tokens that it holds, and the guesses behind them.

    Args:
        session: Open and empty; owned from now on.
        reach: Most tokens computed ahead in one call, see ``reach_of``.
        max_tokens: Tokens the session may hold, guesses included.

    Attributes:
        looked_ahead: Tokens computed in one call with those before them, ahead of the choice.
        wasted: Tokens computed ahead that were not chosen.
    """

    def __init__(self, session: Session, reach: int, max_tokens: int) -> None:
        self.session = session
        self.looked_ahead = 0
        self.wasted = 0
        self._reach = reach
        self._max_tokens = max_tokens
        self._held = 0
        # The guesses, with what is known behind each.
        self._tokens: list[int] = []
        self._rows: list[LogProbs] = []
        self._masked: list[float] = []
        self._maxima_behind: list[Maxima | None] = []
        # Of the row that was answered last, where it was not the last one computed.
        self._masked_mass: float | None = None
        self._maxima: Maxima | None = None

    @property
    def held(self) -> int:
        """Chosen tokens that it was given; a session left alone goes beyond what it was fed."""
        return max(self._held, self.session.position - len(self._tokens))

    @property
    def guessed(self) -> int:
        """Tokens behind them that may still be chosen."""
        return len(self._tokens)

    @property
    def masked_mass(self) -> float:
        """See ``Session.masked_mass``; of the row that was answered last."""
        return self.session.masked_mass if self._masked_mass is None else self._masked_mass

    @property
    def maxima(self) -> Maxima | None:
        """See ``Session.maxima``; of the row that was answered last."""
        return self.session.maxima if self._masked_mass is None else self._maxima

    def feed(self, tokens: Sequence[int], ahead: Iterable[int] = ()) -> Awaitable[LogProbs]:
        """Starts on what follows chosen tokens; the work begins at the call.

        Args:
            tokens: At least one.
            ahead: Those that will probably follow; as many are taken as there is room for. Where
                the row of the chosen ones is known already nothing is computed, and they are not
                looked at.

        Returns:
            See ``Session.feed``. The row is overwritten by the next call that computes anything.
        """
        right = self.known(tokens)
        self._held += len(tokens)
        if tokens and right == len(tokens):
            return Ready(self._take(right))
        self._forget(right)
        most = min(self._reach, self._max_tokens - self._held)
        guesses = list(islice(ahead, most)) if most > 0 else []
        if not guesses:
            return self.session.feed(tokens[right:])
        self._tokens = guesses
        self.looked_ahead += len(guesses)
        block = self.session.feed_block([*tokens[right:], *guesses], 1 + len(guesses))
        return Later(block, self._note_block)

    def guess(self, token: int) -> Awaitable[LogProbs]:
        """Starts on what follows one more guess, for a member that drafts by itself.

        The row answered last is overwritten: whoever still needs it holds a copy. Those of guesses
        are kept here until they are chosen or forgotten.

        Raises:
            InvalidRequest: There is no room for it; out of the awaitable, like all errors.
        """
        if self._masked_mass is None:
            self._masked_mass, self._maxima = self.session.masked_mass, self.session.maxima
        self._maxima = _kept(self._maxima)
        # The rows of a block would not outlive the call.
        self._rows = [row if row.base is None else row.copy() for row in self._rows]
        self._maxima_behind = [*map(_kept, self._maxima_behind)]
        self._tokens.append(token)
        return Later(self.session.feed((token,)), self._note_guess)

    def known(self, tokens: Sequence[int]) -> int:
        """How many of the first of these tokens were guessed, so that their rows are there."""
        right = 0
        for token, guess, _ in zip(tokens, self._tokens, self._rows, strict=False):
            if token != guess:
                break
            right += 1
        return right

    def close(self) -> None:
        """Frees the session. Guesses that nobody has chosen were for nothing."""
        self.wasted += len(self._tokens)
        self._drop_guesses()
        self.session.close()

    def _take(self, count: int) -> LogProbs:
        """Takes guesses for chosen; returns what follows them."""
        row, self._masked_mass = self._rows[count - 1], self._masked[count - 1]
        self._maxima = self._maxima_behind[count - 1]
        del self._tokens[:count], self._rows[:count], self._masked[:count]
        del self._maxima_behind[:count]
        return row

    def _forget(self, right: int) -> None:
        """Forgets all guesses but the first ones, which were right."""
        wrong = len(self._tokens) - right
        self._drop_guesses()
        self._masked_mass = None
        if wrong:
            self.wasted += wrong
            # Whoever is lost says so when it is fed.
            with suppress(Unavailable):
                self.session.rewind(wrong)

    def _drop_guesses(self) -> None:
        self._tokens, self._rows, self._masked, self._maxima_behind = [], [], [], []

    def _note_block(self, rows: LogProbRows) -> LogProbs:
        first: LogProbs
        first, *self._rows = rows
        self._masked_mass, *self._masked = self.session.block_masked.tolist()
        of_block = self.session.block_maxima
        maxima: Sequence[Maxima | None] = [None] * len(rows) if of_block is None else [*of_block]
        self._maxima, *self._maxima_behind = maxima
        return first

    def _note_guess(self, row: LogProbs) -> LogProbs:
        kept = row.copy()
        self._rows.append(kept)
        self._masked.append(self.session.masked_mass)
        self._maxima_behind.append(_kept(self.session.maxima))
        return kept


def _kept(maxima: Maxima | None) -> Maxima | None:
    """Maxima that outlive the next call."""
    return maxima if maxima is None or maxima.base is None else maxima.copy()


class Ready:
    """An awaitable that gives a row which is known already."""

    def __init__(self, row: LogProbs) -> None:
        self._row = row

    def __await__(self) -> Generator[Any, None, LogProbs]:
        """Gives the result without waiting."""
        yield from ()
        return self._row


class Lost:
    """An awaitable that tells of a loss which is known already."""

    def __init__(self, error: Unavailable) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, None, LogProbs]:
        """Raises it without waiting."""
        yield from ()
        raise self._error


class Later(Generic[_Result]):
    """An awaitable that makes a row of what it waits for."""

    def __init__(self, pending: Awaitable[_Result], finish: Callable[[_Result], LogProbs]) -> None:
        self._pending = pending
        self._finish = finish

    def __await__(self) -> Generator[Any, None, LogProbs]:
        result = yield from self._pending.__await__()
        return self._finish(result)


class Begun:
    """An awaitable of a row that takes several steps; the waiting begins with the await."""

    def __init__(
        self, wait: Callable[..., Coroutine[Any, Any, LogProbs]], *arguments: object
    ) -> None:
        self._wait = wait
        self._arguments = arguments

    def __await__(self) -> Generator[Any, None, LogProbs]:
        """Takes the steps, one after the other."""
        return self._wait(*self._arguments).__await__()
