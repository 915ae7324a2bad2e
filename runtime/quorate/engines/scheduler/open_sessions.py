"""The sessions that are open, by number, and what may be asked of each."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.engines.scheduler.entry import UNBOUND, Entry
from quorate.engines.scheduler.sequences import Held

_DECODING_STEPS = 8
"""A session counts as decoding for as many calls as prefill would need, in small chunks, for what
one full batch takes: members of an ensemble wait for the slowest and so miss some calls."""

_LATE_STEPS = 2
"""One that missed more calls is of an ensemble, which waits for another of its members."""


class OpenSessions:
    """Says what is wrong with what a caller asks, in a ``ValueError``.

    Args:
        most: How many can be open at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[int, Entry] = {}

    def check_vacancy(self, session: int) -> None:
        """A session of this number can be opened."""
        if session in self._entries:
            raise ValueError(f"session {session} is open already")
        if len(self._entries) >= self._most:
            raise ValueError(f"all {self._most} sessions are open")

    def add(self, entry: Entry) -> None:
        """One that can be opened is."""
        self._entries[entry.session] = entry

    def any(self, session: int) -> Entry:
        """One that is open, whatever it does."""
        entry = self._entries.get(session)
        if entry is None:
            raise ValueError(f"session {session} is not open")
        return entry

    def at_rest(self, session: int) -> Entry:
        """One that waits for its caller."""
        entry = self.any(session)
        if entry.generated:
            raise ValueError(f"session {session}: after a generation it can only be closed")
        if entry.feed:
            raise ValueError(f"session {session}: its last feed is still outstanding")
        return entry

    def remove(self, session: int) -> Entry:
        """One that is open, and no longer is."""
        entry = self.any(session)
        del self._entries[session]
        return entry

    def held(self) -> Iterator[Held]:
        """What those that have a sequence hold in it."""
        return (entry.held for entry in self._entries.values() if entry.sequence != UNBOUND)

    def any_decoding(self, step: int) -> bool:
        """Whether any advanced by a short feed in one of the decode calls before this one."""
        return any(True for _ in self._decoded_since(step - _DECODING_STEPS))

    def any_late(self, step: int) -> bool:
        """Whether any that did so just before has nothing to decode in this one."""
        return any(not entry.feed for entry in self._decoded_since(step - _LATE_STEPS))

    def _decoded_since(self, step: int) -> Iterator[Entry]:
        for entry in self._entries.values():
            if entry.last_decode is not None and entry.last_decode > step:
                yield entry
