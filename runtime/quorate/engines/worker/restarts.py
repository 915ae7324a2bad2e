"""When a worker that died is started again, and when not. Pure decisions: no clock, no logging."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
_CRASHES_WHILE_LOADING = 3


def backoff_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: 0.1 s, doubling up to 30 s."""
    if failures < 1:
        return 0.0
    return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """Failures in a row.

    Attributes:
        failures: Deaths of the worker, and starts that came to nothing, without a minute of health
            in between.
        while_loading: Deaths during loading without a successful load in between.
    """

    failures: int = 0
    while_loading: int = 0

    def after_crash_while_loading(self) -> FailureHistory:
        """The worker died before it was ready."""
        return FailureHistory(self.failures + 1, self.while_loading + 1)

    def after_shortage(self) -> FailureHistory:
        """No worker ran, since the machine was short of something: no verdict on the model."""
        return FailureHistory(self.failures + 1, self.while_loading)

    def after_crash(self, ready_seconds: float) -> FailureHistory:
        """The worker died after it had been ready for so long; a minute forgives the past."""
        return FailureHistory(1 if ready_seconds >= _HEALTHY_SECONDS else self.failures + 1)

    @property
    def hopeless(self) -> bool:
        """Whether another start is not worth trying."""
        return self.while_loading >= _CRASHES_WHILE_LOADING

    @property
    def delay_seconds(self) -> float:
        """How long to wait before the next start."""
        return backoff_seconds(self.failures)
