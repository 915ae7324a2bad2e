"""What went over the wire in one call, as far as others must know it."""

from __future__ import annotations

from collections.abc import Callable


class Traffic:
    """Written by whoever sends and reads, read by whoever waits.

    Args:
        on_sent: Called when the request is about to leave.

    Attributes:
        sent: Whether the request left, so that the remote may charge for it.
        received_bytes: Of the answer, so far; any byte counts.
    """

    def __init__(self, on_sent: Callable[[], None]) -> None:
        self._on_sent = on_sent
        self.sent = False
        self.received_bytes = 0

    def send(self) -> None:
        """The request is about to leave."""
        if not self.sent:
            self.sent = True
            self._on_sent()
