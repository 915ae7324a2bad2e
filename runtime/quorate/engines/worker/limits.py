"""How long a worker may take for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Times in seconds.

    Attributes:
        step_timeout_seconds: A worker that is waited for and shows no progress for so long is
            killed. One decode call must never take that long.
        load_timeout_seconds: The same while loading, where it neither reports progress nor reads.
        still_seconds: The same while loading, where it does nothing at all: it takes no CPU time,
            touches no memory, reads nothing and waits for no disk.
        stopped_seconds: The same at any time, where its process was stopped by a signal.
        wedged_after_seconds: From here on the model counts as unhealthy, though it is not killed.
        stop_seconds: For a clean exit, after which SIGKILL follows.
        kill_seconds: For the end of a killed process, after which it is given up on.
    """

    step_timeout_seconds: float = 60.0
    load_timeout_seconds: float = 600.0
    still_seconds: float = 60.0
    stopped_seconds: float = 10.0
    wedged_after_seconds: float = 15.0
    stop_seconds: float = 5.0
    kill_seconds: float = 5.0

    @property
    def shortest_seconds(self) -> float:
        """The shortest of the times after which a worker is killed."""
        return min(
            self.step_timeout_seconds,
            self.load_timeout_seconds,
            self.still_seconds,
            self.stopped_seconds,
        )
