"""One member goes ahead along its own choices, and the others follow in one block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.guesses import Lost, Ready
from quorate.errors import WorkerLost

_Symbol = TypeVar("_Symbol")
_LedSymbol = TypeVar("_LedSymbol", covariant=True)
_FedSymbol = TypeVar("_FedSymbol", contravariant=True)


class Leader(Protocol[_LedSymbol]):
    """Says along what the leading member goes ahead."""

    @property
    def model(self) -> str:
        """The member that goes ahead."""
        ...

    @property
    def done(self) -> bool:
        """Whether the last guess was the last one."""
        ...

    def guess(self, row: LogProbs) -> _LedSymbol | None:
        """The next guess, by the leading member's row behind the last; None where it has none."""
        ...


class Led(NamedTuple, Generic[_Symbol]):
    """A member that goes ahead: of what, along what, which one, and its row behind that."""

    symbol: _Symbol
    leader: Leader[_Symbol]
    at: int
    pending: Awaitable[LogProbs]


class GoesAhead(Protocol[_FedSymbol]):
    """The part of a predictor that a leading member needs beside ``Predictor``."""

    def guess(self, symbol: _FedSymbol) -> Awaitable[LogProbs]:
        """Starts on what follows a symbol that nobody has chosen yet."""
        ...


async def go_ahead(
    predictor: GoesAhead[_Symbol],
    pending: Awaitable[LogProbs],
    leader: Leader[_Symbol],
    turn: Callable[[], Awaitable[None]],
) -> tuple[Awaitable[LogProbs], list[_Symbol]]:
    """Goes ahead of the chosen symbol, behind which the leading member's row is ``pending``.

    The last guess is not fed to it: what follows that is asked once it was chosen. Each guess but
    the first waits for a ``turn`` of its own, as a step does.

    Returns:
        That row, or the loss of the member, to be awaited in its turn; and the guesses.
    """
    draft: list[_Symbol] = []
    try:
        row = await pending
        kept = row
        while (guess := leader.guess(row)) is not None:
            draft.append(guess)
            if leader.done:
                break
            if kept is row:
                # It is overwritten by what comes next.
                kept = row.copy()
            row = await predictor.guess(guess)
            await turn()
    except WorkerLost as error:
        return Lost(error), draft
    return Ready(kept), draft
