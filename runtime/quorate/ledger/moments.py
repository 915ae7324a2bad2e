"""When something in the ledger really happened, where the clock of the machine has jumped. Pure.

A row is dated by UTC, which may have been years off when it was written. What never lies is the
order of the rows, and the time since boot of those that were written since the last one. So rows
are looked at from the newest to the oldest:

1. One of the present boot happened as long ago as the time since boot says, by the present clock.
2. One of an earlier boot is dated by that boot's latest reading, which knows of every correction
   that the clock was given in it, and by the time since boot between the two.
3. Nothing happened after what was written later, so that a date in the future is cut to the
   earliest later one.
4. A date before this program existed says nothing: the row counts from the earliest later one.

Once the clock is right, and was so when a start or a correction was written down, no row counts as
younger than the time since. A row counts as older than it is only where the clock ran behind to the
end of a whole boot and none of the above gives it away; then by as much as it ran behind.

Nothing is concluded from how long the present boot lasts: a ledger may have come from another
machine.
"""

from __future__ import annotations

from quorate.clocks import Reading

EARLIEST = 1_767_225_600.0
"""2026-01-01 in UTC epoch seconds: no ledger is older."""

_NOISE_SECONDS = 1.0
_DAY_SECONDS = 86_400.0
_LEAP_SECONDS = 32 * _DAY_SECONDS
_DOUBT_LASTS_SECONDS = 2 * _DAY_SECONDS


class Moments:
    """Dates readings, which must be given from the newest to the oldest.

    Args:
        now: What the clocks say at present, which is believed.
    """

    def __init__(self, now: Reading) -> None:
        self._latest = now.utc
        self._earliest = EARLIEST if now.utc >= EARLIEST else float("-inf")
        self._newest: dict[str, Reading] = {now.boot: now} if now.boot else {}

    def of(self, written: Reading) -> float:
        """When a reading was taken, in seconds of UTC by the present clock."""
        at = self._by_its_boot(written)
        if at >= self._earliest:
            self._latest = min(self._latest, at)
        # What is no jump is told to the digit, as it was written.
        close = abs(self._latest - written.utc) < _NOISE_SECONDS
        return written.utc if close else self._latest

    def _by_its_boot(self, written: Reading) -> float:
        newest = self._newest.setdefault(written.boot, written) if written.boot else written
        passed = newest.since_boot - written.since_boot
        return newest.utc - passed if passed >= 0 else written.utc


def jump(before: Reading, after: Reading) -> float:
    """By how much the clock was set between two readings of one boot; 0 for a second or less.

    Readings of different boots tell nothing of it.
    """
    if not before.boot or before.boot != after.boot:
        return 0.0
    by = (after.utc - before.utc) - (after.since_boot - before.since_boot)
    return by if abs(by) > _NOISE_SECONDS else 0.0


def is_in_doubt(before: Reading | None, opened: Reading, running_seconds: float) -> bool:
    """Whether it is in doubt what day it is: the clock leapt far ahead while no server ran.

    Args:
        before: What the clocks said last, before this server; None where nobody knows.
        opened: What they said at its start.
        running_seconds: For how long it has run.
    """
    if before is None:
        return False
    return opened.utc - before.utc > _LEAP_SECONDS and running_seconds < _DOUBT_LASTS_SECONDS
