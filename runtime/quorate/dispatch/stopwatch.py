"""Times of one request."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Measures one request from its arrival, in milliseconds.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock()
        self._first_token: float | None = None

    def token(self) -> None:
        """Notes that a token was decided; only the first one counts."""
        if self._first_token is None:
            self._first_token = self._clock()

    @property
    def time_to_first_token_ms(self) -> float | None:
        """From arrival to the first token, or None where there was none."""
        if self._first_token is None:
            return None
        return (self._first_token - self._started) * 1000.0

    @property
    def duration_ms(self) -> float:
        """From arrival until now."""
        return (self._clock() - self._started) * 1000.0
