"""What the blocks of sessions take of the shared memory, and when it is given back."""

from __future__ import annotations

from collections.abc import Callable

IDLE_SECONDS = 1.0
"""Without work for so long, a worker gives back what no session uses any more.

Not at once: for the next one it would have to be allocated anew, page by page.
"""


class BlockMemory:
    """Knows which slots have had blocks: one of 32 rows takes up to 100 MB for large vocabularies.

    Args:
        release: Gives back the memory of a slot's block.
    """

    def __init__(self, release: Callable[[int], None]) -> None:
        self._release = release
        # Slots of the open sessions, and those whose block was written to.
        self._open: dict[int, int] = {}
        self._used: set[int] = set()

    @property
    def unused(self) -> set[int]:
        """Slots of no open session whose block takes memory."""
        return self._used.difference(self._open.values()) if self._used else self._used

    def note_open(self, session: int, slot: int) -> None:
        """A session has a slot."""
        self._open[session] = slot

    def note_use(self, session: int) -> None:
        """A block is written for a session."""
        self._used.add(self._open[session])

    def note_close(self, session: int) -> None:
        """The slot of a session is free."""
        del self._open[session]

    def release(self) -> None:
        """Gives back what is unused."""
        for slot in self.unused:
            self._release(slot)
            self._used.remove(slot)
