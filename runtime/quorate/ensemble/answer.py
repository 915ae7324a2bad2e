"""The text of an answer as it grows: stop strings, the byte limit, whole code points."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.ensemble.stops import StopMatcher
from quorate.ensemble.text import Utf8Stream
from quorate.request import FinishReason, StoppingOptions


@dataclass(frozen=True, slots=True)
class Grown:
    """What one more piece added: text that may be shown, and the end where it was reached."""

    text: str
    ended: FinishReason | None


class Answer:
    """Turns pieces into text that may be shown.

    Args:
        options: Stop strings and ``max_bytes``; ``max_tokens`` is the loop's business.

    Raises:
        InvalidRequest: An empty stop string.
    """

    def __init__(self, options: StoppingOptions) -> None:
        self._stops = StopMatcher(options.stop)
        self._utf8 = Utf8Stream()
        self._room = options.max_bytes

    def push(self, piece: bytes) -> Grown:
        """Adds a token's bytes."""
        safe, matched = self._stops.push(piece)
        text = self._utf8.push(safe)
        if matched:
            return self._limited(text + self._utf8.flush(), FinishReason.STOP_STRING)
        return self._limited(text, None)

    def finish(self) -> Grown:
        """Gives what was held back, at the end of the answer."""
        return self._limited(self._utf8.push(self._stops.flush()) + self._utf8.flush(), None)

    def _limited(self, text: str, ended: FinishReason | None) -> Grown:
        """Cuts the text at the byte limit; a code point that does not fit is left out."""
        if self._room is None:
            return Grown(text, ended)
        data = text.encode()
        kept = text if len(data) <= self._room else data[: self._room].decode(errors="ignore")
        self._room -= len(data)
        # A code point that is begun takes at least one byte more than is there of it.
        full = self._room <= self._utf8.held_bytes
        return Grown(kept, FinishReason.MAX_BYTES if full else ended)
