"""What the machine draws when it serves nobody, learned from the windows without a request."""

from __future__ import annotations

from collections import deque

_WINDOWS = 64
_QUANTILE = 0.25


class IdleBaseline:
    """The lower quartile of the power in recent windows without a request, by time.

    A quantile and not a mean: what disturbs an idle machine (models being loaded, other programs)
    only ever adds power, so a mean would drift up and take energy from the next requests. Not the
    least either: counters move in steps, and the step that a short window missed makes it look too
    cheap. Weighing by time keeps short windows from counting as much as long ones.
    """

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=_WINDOWS)

    def observe(self, joules: float, seconds: float) -> None:
        """Learns from a window without a request."""
        if seconds > 0:
            self._windows.append((joules / seconds, seconds))

    @property
    def watts(self) -> float:
        """The baseline; 0 until a window without a request was seen."""
        wanted = _QUANTILE * sum(seconds for _, seconds in self._windows)
        passed = 0.0
        for watts, seconds in sorted(self._windows):
            passed += seconds
            if passed >= wanted:
                return watts
        return 0.0
