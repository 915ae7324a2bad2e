"""A circuit breaker: leaves a remote alone that does not work. Pure but for its clock.

The states are those of Nygard, "Release It!" (2nd edition, 2018, chapter 5): closed lets all
requests through, open none, half-open one, whose outcome decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from quorate.clocks import since_boot


class BreakerState(Enum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long.

    Attributes:
        consecutive_failures: Failures in a row that open it.
        window: Latest outcomes over which the share of failures is taken.
        least_outcomes: Outcomes below which a share says nothing.
        failure_share: Share of failures that opens it.
        open_seconds: How long it stays open the first time; doubled each time that the probe
            fails, too.
        longest_open_seconds: Where the doubling ends. A reset that the remote names is kept
            whatever its length.
    """

    consecutive_failures: int = 5
    window: int = 20
    least_outcomes: int = 10
    failure_share: float = 0.5
    open_seconds: float = 5.0
    longest_open_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was let through; its outcome is reported with it, exactly once."""

    period: int


class CircuitBreaker:
    """Decides whether a request may go to a remote, from the outcomes of earlier ones.

    Outcomes of requests that were let through before the state last changed no longer count: they
    tell of a time that is over. A quota they name is heeded all the same.

    Args:
        clock: Seconds that never run backwards, and go on while the machine sleeps, as the remote
            does.
    """

    def __init__(
        self, policy: BreakerPolicy | None = None, clock: Callable[[], float] = since_boot
    ) -> None:
        self._policy = policy or BreakerPolicy()
        self._clock = clock
        self._period = 0
        self._open_until: float | None = None
        self._openings = 0
        self._cause: str | None = None
        self._probing = False
        self._in_a_row = 0
        self._failed: deque[bool] = deque(maxlen=self._policy.window)

    @property
    def state(self) -> BreakerState:
        """The state now; an open breaker becomes half-open when its time is over."""
        if self._open_until is None:
            return BreakerState.CLOSED
        waits = self._clock() < self._open_until
        return BreakerState.OPEN if waits else BreakerState.HALF_OPEN

    @property
    def reason(self) -> str | None:
        """Why it is not closed, in one line; None while it is."""
        return self._cause

    @property
    def retry_after_seconds(self) -> float:
        """When another try has a chance; 0 where a request would be let through now."""
        if self._open_until is None:
            return 0.0
        left = max(0.0, self._open_until - self._clock())
        return self._policy.open_seconds if not left and self._probing else left

    @property
    def admits(self) -> bool:
        """Whether a request would be let through now."""
        state = self.state
        return state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and not self._probing
        )

    def admit(self) -> Admission | None:
        """Lets a request through, or not; half-open, exactly one at a time."""
        if not self.admits:
            return None
        if self._open_until is not None:
            self._period += 1
            self._probing = True
        return Admission(self._period)

    def succeeded(self, admission: Admission) -> None:
        """The remote answered as it should."""
        if admission.period != self._period:
            return
        if self._probing:
            self._close()
            return
        self._in_a_row = 0
        self._failed.append(False)

    def failed(self, admission: Admission, cause: str) -> None:
        """The remote or the way to it failed: 5xx, a timeout, a broken connection or answer."""
        if admission.period != self._period:
            return
        self._in_a_row += 1
        self._failed.append(True)
        if self._probing or self._too_many():
            self._open(cause, self._patience())

    def quota_spent(self, admission: Admission, cause: str, reset_seconds: float | None) -> None:
        """The remote takes no more for now, or until the reset that it named."""
        if admission.period == self._period:
            self._open(cause, self._patience() if reset_seconds is None else reset_seconds)
        elif self._open_until is not None and reset_seconds is not None and not self._probing:
            self._open_until = max(self._open_until, self._clock() + reset_seconds)

    def misconfigured(self, admission: Admission, cause: str) -> None:
        """The remote refuses this server as such, so that every request is in vain."""
        if admission.period == self._period:
            self._open(cause, self._policy.longest_open_seconds)

    def withdrawn(self, admission: Admission) -> None:
        """The request ended without saying anything about the remote."""
        if admission.period == self._period:
            self._probing = False

    def _too_many(self) -> bool:
        policy = self._policy
        if self._in_a_row >= policy.consecutive_failures:
            return True
        share = sum(self._failed) / len(self._failed)
        return len(self._failed) >= policy.least_outcomes and share >= policy.failure_share

    def _patience(self) -> float:
        doubled = self._policy.open_seconds * 2.0 ** min(self._openings, 60)
        return min(doubled, self._policy.longest_open_seconds)

    def _open(self, cause: str, seconds: float) -> None:
        self._open_until = self._clock() + seconds
        self._openings += 1
        self._cause = cause
        self._change()

    def _close(self) -> None:
        self._open_until = None
        self._openings = 0
        self._cause = None
        self._change()

    def _change(self) -> None:
        self._period += 1
        self._probing = False
        self._in_a_row = 0
        self._failed.clear()
