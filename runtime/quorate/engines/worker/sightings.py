"""What a look at a worker shows from outside, apart from what it says."""

from __future__ import annotations

from quorate.engines.worker.limits import WorkerLimits
from quorate.engines.worker.vital_signs import is_stopped, vital_signs
from quorate.engines.worker.watchdog import Sighting


def of_loading(pid: int | None, reports: int, limits: WorkerLimits) -> list[Sighting]:
    """Of one that loads its model and has reported so often how far it is.

    A model may load for long from a slow disk, but not by doing nothing. What it reads is progress.
    What it computes is not, since that need not lead anywhere, but shows that it is no use to give
    up early.
    """
    signs = vital_signs(pid) if pid is not None else None
    read = signs.bytes_read if signs else 0
    return [
        Sighting("stuck", (reports, read), True, limits.load_timeout_seconds),
        Sighting(
            "loading without a sign of life",
            (reports, signs),
            signs is not None and not signs.waits_for_disk,
            limits.still_seconds,
        ),
        of_process(pid, True, limits),
    ]


def of_process(pid: int | None, waiting: bool, limits: WorkerLimits) -> Sighting:
    """Of one that is waited for, or not: whether a signal stopped it."""
    stopped = waiting and pid is not None and is_stopped(pid)
    return Sighting("stopped by a signal", None, stopped, limits.stopped_seconds)
