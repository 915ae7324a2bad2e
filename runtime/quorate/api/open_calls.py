"""How many calls each caller has open, over all doors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from quorate.errors import Overloaded

_RETRY_SECONDS = 1.0


class OpenCalls:
    """Counts the calls that are open.

    Args:
        most: Most of one caller at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def one(self, whose: str) -> Iterator[None]:
        """A call of a caller is open for as long as the context lasts."""
        self._open[whose] += 1
        try:
            yield
        finally:
            self._open[whose] -= 1
            if not self._open[whose]:
                del self._open[whose]

    def check(self, whose: str) -> None:
        """Refuses a call that is counted already.

        Raises:
            Overloaded: It is one too many.
        """
        if self._open[whose] > self._most:
            raise Overloaded(
                f"this caller has {self._most} calls open, which is the limit; "
                "wait until one of them ends",
                _RETRY_SECONDS,
            )
