"""The text of an answer as it grows: stop strings, the byte limit, whole code points."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.ensemble.stops import StopMatcher
from quorate.ensemble.text import Utf8Stream
from quorate.generation import FinishReason, StoppingOptions


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
        text, full = self._decode(safe)
        if matched:
            return Grown(text + self._utf8.flush(), FinishReason.STOP_STRING)
        return Grown(text, FinishReason.MAX_BYTES if full else None)

    def finish(self) -> str:
        """Returns what was held back, at the end of the answer."""
        text, full = self._decode(self._stops.flush())
        return text if full else text + self._utf8.flush()

    def _decode(self, data: bytes) -> tuple[str, bool]:
        """Decodes as much as the byte limit allows; a code point cut by it is left out."""
        if self._room is None:
            return self._utf8.push(data), False
        kept = data[: self._room]
        self._room -= len(kept)
        return self._utf8.push(kept), self._room == 0
