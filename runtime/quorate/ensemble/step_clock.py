"""Where the time of an answer's steps goes: computing, travelling, combining, choosing, writing.

It knows nothing of symbols. Whoever takes a step says when one part of it ends, and the rest is
told apart here. A step costs some ten readings of a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from quorate.request.usage import StepTimes


class Took(NamedTuple):
    """Times of the last rows, in seconds since their symbol was told.

    Attributes:
        asked: Until somebody waited for them; what was ready before then is not known.
        led: Until a member that goes ahead had done so.
        whole: Until all were there.
    """

    asked: float
    led: float
    whole: float


class StepClock:
    """Adds up the parts of all steps of one answer, from its first rows on.

    What passes from the moment in which the members are told a symbol until their rows are there is
    ``decode`` as long as some engine worked. The rest is ``stream`` as long as the reader was being
    written to, which happens meanwhile, and else ``exchange``: so the parts add up to what passed.

    What engines have worked so far, by member, is ``Engine.worked_seconds``.

    Args:
        clock: Seconds that never run backwards; tests inject their own.
    """

    __slots__ = (
        "_before", "_clock", "_combine", "_decode", "_exchange", "_last", "_sample", "_stream",
        "_told_at", "_turns", "_worked", "_written",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._decode = self._exchange = self._turns = 0.0
        self._combine = self._sample = self._stream = 0.0
        # When members were told; None while they are asked for nothing, and before the first rows.
        self._told_at: float | None = None
        self._last: float | None = None
        self._before: Sequence[float] = ()
        # Since members were told: what engines worked, and what writing took.
        self._worked = self._written = 0.0

    def tell(self, worked: Sequence[float]) -> None:
        """Members are about to be told a symbol; what passed since the last part was choosing."""
        self._sample += self._lap()
        if self._last is not None:
            self._told_at = self._last
            self._worked = self._written = 0.0
            self._before = worked

    def led(self, worked: Sequence[float]) -> None:
        """A member has gone ahead, and the others begin to follow."""
        self._note_work(worked)

    def rows(self, worked: Sequence[float]) -> None:
        """The rows of all members are there."""
        now = self._clock()
        self._last = now
        if self._told_at is None:
            return
        self._note_work(worked)
        passed, self._told_at = now - self._told_at, None
        decode = min(self._worked, passed)
        stream = min(self._written, passed - decode)
        self._decode += decode
        self._stream += stream
        self._exchange += passed - decode - stream

    def turn(self) -> None:
        """The step's turn on the event loop has come."""
        self._turns += self._lap()

    def combined(self) -> None:
        """Weights, mixture or transcript are done."""
        self._combine += self._lap()

    def chosen(self) -> None:
        """A symbol is chosen."""
        self._sample += self._lap()

    def writes(self) -> None:
        """The reader is about to be written to."""
        self._lap()

    def written(self) -> None:
        """The transport has taken what was written since ``writes``."""
        passed = self._lap()
        if self._told_at is None:
            self._stream += passed
        else:
            self._written += passed

    @property
    def times(self) -> StepTimes:
        """The parts so far."""
        return StepTimes(
            decode_ms=1e3 * self._decode,
            exchange_ms=1e3 * self._exchange,
            turns_ms=1e3 * self._turns,
            combine_ms=1e3 * self._combine,
            sample_ms=1e3 * self._sample,
            stream_ms=1e3 * self._stream,
        )

    def _lap(self) -> float:
        """Seconds since the last part ended; 0.0 before the first rows."""
        now, last = self._clock(), self._last
        if last is None:
            return 0.0
        self._last = now
        return now - last

    def _note_work(self, worked: Sequence[float]) -> None:
        """Adds what the busiest engine worked: others that waited for its cores did so meanwhile.

        A worker that was restarted counts from nothing, and members that were lost are no longer
        asked; of neither is anything known.
        """
        if self._told_at is None:
            return
        before, self._before = self._before, worked
        if len(before) == len(worked):
            passed = (b - a for a, b in zip(before, worked, strict=True))
            self._worked += max(0.0, *passed)
