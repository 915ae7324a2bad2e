"""The sessions that are open, by number, and what may be asked of each."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.engines.scheduler.entry import UNBOUND, Entry
from quorate.engines.scheduler.sequences import Held


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

    def late_since(self, step: int) -> bool:
        """Whether any that advanced so after this decode call has nothing to decode yet."""
        return any(
            not entry.feed and entry.last_decode is not None and entry.last_decode > step
            for entry in self._entries.values()
        )

    def decoded_since(self, step: int) -> bool:
        """Whether any advanced by a short feed after this decode call."""
        return any(
            entry.last_decode is not None and entry.last_decode > step
            for entry in self._entries.values()
        )
