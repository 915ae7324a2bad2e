"""What the mixture may say next."""

from __future__ import annotations

from typing import Protocol

from quorate.sampling.shortlist import Ranked


class Constraint(Protocol):
    """Rules out symbols, given those that were chosen before."""

    def mask(self, mixture: Ranked) -> Ranked:
        """The mixture without what must not come next; it need not be normalised.

        Returns:
            One of as many symbols, at least one of them possible.
        """
        ...

    def accept(self, symbol: int) -> None:
        """Advances by the chosen symbol, which was allowed."""
        ...

    def rollback(self, count: int) -> None:
        """Takes back the last ``count`` symbols, at most as many as were accepted."""
        ...


class Unconstrained:
    """``Constraint`` that rules out nothing."""

    def mask(self, mixture: Ranked) -> Ranked:
        """See ``Constraint``; the mixture itself."""
        return mixture

    def accept(self, symbol: int) -> None:
        """Remembers nothing."""

    def rollback(self, count: int) -> None:
        """There is nothing to take back."""
