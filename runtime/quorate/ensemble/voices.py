"""How one member speaks: the distributions it gives and the symbols it is told.

A symbol is a token where the members share a vocabulary, and a byte or some bytes where they do
not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, NamedTuple, Protocol, TypeVar

from quorate.engines.contract import LogProbs

_Symbol = TypeVar("_Symbol", contravariant=True)


class Favourite(NamedTuple):
    """A token that a member likes best.

    Attributes:
        piece: Its bytes, b"" for the end.
        logprob: What the member gives it, in nats.
    """

    piece: bytes
    logprob: float


class Voice(Protocol[_Symbol]):
    """One member's side of the vote. Owned by its seat; one call at a time."""

    @property
    def forwards(self) -> int:
        """Tokens it was given behind the prompt, those of pruned hypotheses included."""
        ...

    @property
    def length(self) -> int:
        """Tokens of the answer so far."""
        ...

    @property
    def busy_seconds(self) -> float:
        """Time spent between feeds and their answers so far."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that were found in the prefix cache."""
        ...

    @property
    def dropped_mass(self) -> float | None:
        """Probability that was pruned so far; None where nothing ever is."""
        ...

    async def open(self) -> None:
        """Opens its session; see ``Engine.open`` for what it waits for and raises."""
        ...

    def start(self) -> Awaitable[LogProbs]:
        """Starts on the prompt, and on the answer so far where there is one."""
        ...

    def feed(self, symbol: _Symbol) -> Awaitable[LogProbs]:
        """Starts on what follows the chosen symbol; the work begins at the call.

        Returns:
            Log-probs of what comes next, float32, valid until the next call.
        """
        ...

    def favourite(self, row: LogProbs) -> Favourite:
        """What it would like to go on with.

        Args:
            row: What it gave last.
        """
        ...

    def close(self) -> None:
        """Frees its session; what it measured, and the answer so far, stay."""
        ...


class Ready:
    """A result that is there already, to be awaited like one that is not."""

    def __init__(self, row: LogProbs) -> None:
        self._row = row

    def __await__(self) -> Generator[Any, None, LogProbs]:
        """Gives the result without waiting."""
        yield from ()
        return self._row
