"""A draft of a member that grows guess by guess. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.ensemble.drafts.costs import Shares


class GrowingDraft:
    """A draft that grows guess by guess, while that pays.

    Args:
        shares: How often guesses are right.
        worth: Seconds that a symbol takes otherwise.
        alone: What a step of the member that guesses takes.
        further: What the row of each guess adds to the block.
    """

    def __init__(
        self, shares: Shares, worth: float, alone: float, further: Sequence[float]
    ) -> None:
        self._shares = shares
        # Whatever is chosen, its row of the member that guesses is needed.
        self._gain = worth - alone
        self._alone = alone
        self._further = further
        self._guesses = 0
        # Probability that all of them are right.
        self._right = 1.0

    @classmethod
    def of_nothing(cls, shares: Shares) -> GrowingDraft:
        """One that takes no guess."""
        return cls(shares, 0.0, 0.0, ())

    def takes(self, sure: float) -> bool:
        """See ``Pace``."""
        if self._guesses >= len(self._further):
            return False
        right = self._right * self._shares.of(sure)
        gain = right * self._gain - self._further[self._guesses]
        if gain + self._beyond(right, self._guesses + 1) <= 0:
            return False
        self._right, self._guesses = right, self._guesses + 1
        return True

    @property
    def goes_on(self) -> bool:
        """See ``Pace``."""
        return self._beyond(self._right, self._guesses) > 0

    def _beyond(self, right: float, guesses: int) -> float:
        """What further guesses bring in the mean, if as many follow as pay best; in seconds."""
        share, best, gained = self._shares.whole.value, 0.0, 0.0
        for row in self._further[guesses:]:
            # The step that shows the guess is for nothing where those before it are wrong.
            gained -= self._alone * (1 - right)
            right *= share
            gained += right * self._gain - row
            best = max(best, gained)
        return best
