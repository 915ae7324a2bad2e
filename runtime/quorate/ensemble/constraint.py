"""What the mixture may say next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quorate.sampling.shortlist import Ranked

Flags: TypeAlias = npt.NDArray[np.bool_]


class Constraint(Protocol):
    """Rules out symbols, given those that were chosen before."""

    @property
    def complete(self) -> bool:
        """Whether nothing can follow what was accepted; told behind ``ready``."""
        ...

    async def ready(self) -> None:
        """Waits until it is known what may come next.

        Raises:
            QuorateError: That cannot be told.
        """
        ...

    @property
    def forced(self) -> bool:
        """Whether there is but one symbol that may come next; asked behind ``ready``."""
        ...

    @property
    def allowed(self) -> Flags | None:
        """Of each symbol whether it may come next, bool of shape (symbols,); None where all may."""
        ...

    def mask(self, mixture: Ranked) -> Ranked:
        """The mixture without what must not come next; it need not be normalised.

        Asked behind ``ready``, and where it is not ``complete``.

        Returns:
            One of as many symbols, at least one of them possible.
        """
        ...

    def accept(self, symbol: int) -> None:
        """Advances by the chosen symbol, which was allowed."""
        ...

    def foresee(self, path: Sequence[int]) -> None:
        """Prepares for symbols that will probably be accepted next, in this order."""
        ...


class AtOnce:
    """The part of a ``Constraint`` that always knows what may come next, which is never nothing."""

    complete = False
    forced = False

    @property
    def allowed(self) -> Flags | None:
        """See ``Constraint``; whatever there is."""
        return None

    async def ready(self) -> None:
        """There is nothing to wait for."""

    def foresee(self, path: Sequence[int]) -> None:
        """There is nothing to prepare."""


class Unconstrained(AtOnce):
    """``Constraint`` that rules out nothing."""

    def mask(self, mixture: Ranked) -> Ranked:
        """See ``Constraint``; the mixture itself."""
        return mixture

    def accept(self, symbol: int) -> None:
        """Remembers nothing."""
