"""What the mixture may say next."""

from __future__ import annotations

from typing import Protocol

from quorate.engines.contract import LogProbs


class Constraint(Protocol):
    """Rules out symbols, given those that were chosen before."""

    def mask(self, mixture: LogProbs) -> LogProbs:
        """The mixture without what must not come next; it need not be normalised.

        Args:
            mixture: Log-probs in nats, float32 of shape (symbols,), not modified.

        Returns:
            As many log-probs, at least one of them above -inf.
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

    def mask(self, mixture: LogProbs) -> LogProbs:
        """See ``Constraint``; the mixture itself."""
        return mixture

    def accept(self, symbol: int) -> None:
        """Remembers nothing."""

    def rollback(self, count: int) -> None:
        """There is nothing to take back."""
