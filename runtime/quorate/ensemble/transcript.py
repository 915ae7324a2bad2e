"""An answer as its reader sees it grow: text, tokens, and what ended it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.ensemble.stops import StopMatcher
from quorate.ensemble.text import Utf8Stream
from quorate.request import Delta, FinishReason, StoppingOptions, Token


@dataclass(frozen=True, slots=True)
class Grown:
    """What one more piece added: text that may be shown, and the end where it was reached."""

    text: str
    ended: FinishReason | None


class AnswerText:
    """Turns pieces into text that may be shown: no stop string, whole code points, so many bytes.

    Args:
        options: Stop strings and ``max_bytes``; ``max_tokens`` is the loop's business.
    """

    def __init__(self, options: StoppingOptions) -> None:
        self._stops = StopMatcher(options.stop)
        self._utf8 = Utf8Stream()
        self._bytes_left = options.max_bytes

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
        if self._bytes_left is None:
            return Grown(text, ended)
        data = text.encode()
        kept = (
            text
            if len(data) <= self._bytes_left
            else data[: self._bytes_left].decode(errors="ignore")
        )
        self._bytes_left -= len(data)
        # A code point that is begun takes at least one byte more than is there of it.
        full = self._bytes_left <= self._utf8.held_bytes
        return Grown(kept, FinishReason.MAX_BYTES if full else ended)


class Transcript:
    """The answer, symbol after symbol; each one is told as a token of its own.

    Args:
        stopping: Stop strings and ``max_bytes``; ``max_tokens`` is the loop's business.

    Attributes:
        ended: Why the answer ended; None while it goes on.
    """

    def __init__(self, stopping: StoppingOptions) -> None:
        self.ended: FinishReason | None = None
        self._text = AnswerText(stopping)

    def add(self, token: Token, ends: FinishReason | None = None) -> Sequence[Delta | FinishReason]:
        """Adds a symbol; ``ends`` is why the answer ends behind it, if it does.

        Returns:
            What may be told, and at last why the answer ended, where it did.
        """
        grown = self._text.push(token.piece)
        text, self.ended = grown.text, grown.ended
        if self.ended is None and ends is not None:
            rest = self._text.finish()
            text, self.ended = text + rest.text, rest.ended or ends
        told = self._told(text, token)
        return told if self.ended is None else (*told, self.ended)

    def end(self, reason: FinishReason) -> Sequence[Delta | FinishReason]:
        """Ends the answer before a symbol.

        Returns:
            What is left to be told, and why the answer ended.
        """
        rest = self._text.finish()
        self.ended = rest.ended or reason
        return (*self._rest(rest.text), self.ended)

    def _told(self, text: str, token: Token) -> Sequence[Delta]:
        return (Delta(text, (token,)),)

    def _rest(self, text: str) -> Sequence[Delta]:
        return (Delta(text, ()),) if text else ()
