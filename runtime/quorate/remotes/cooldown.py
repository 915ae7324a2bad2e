"""A rest that a remote asked for: one refusal is known to all requests. Pure but for its clock."""

from __future__ import annotations

from collections.abc import Callable


class Cooldown:
    """Until when a remote is left alone, because it told one request to come later.

    The circuit breaker counts failures and opens for a remote that does not work. This is for one
    that works, and is merely asked for too much: nobody begins and nobody tries again before the
    rest is over.

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = float("-inf")
        self.cause = ""

    @property
    def seconds(self) -> float:
        """How much of it is left; 0 where nobody has to wait."""
        return max(0.0, self._until - self._clock())

    def ask(self, seconds: float, cause: str) -> None:
        """The remote wants so much of it from now; of two wishes the longer one holds."""
        until = self._clock() + seconds
        if seconds > 0 and until > self._until:
            self._until, self.cause = until, cause
