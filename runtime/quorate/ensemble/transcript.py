"""An answer as its reader sees it grow: text, tokens, and what ended it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.ensemble.stops import StopMatcher
from quorate.ensemble.text import Utf8Stream
from quorate.ensemble.undecided import UndecidedTokens
from quorate.request import Delta, FinishReason, StoppingOptions, Token


@dataclass(frozen=True, slots=True)
class Grown:
    """What one more piece added: text that may be shown, and the end where it was reached.

    Attributes:
        size: How many bytes of the pieces became that text. They are its own, but for U+FFFD,
            which stands for bytes that are no UTF-8.
    """

    text: str
    ended: FinishReason | None
    size: int


class AnswerText:
    """Turns pieces into text that may be shown: no stop string, whole code points, so many bytes.

    A code point that is begun where the answer ends is no part of it.

    Args:
        options: Stop strings and ``max_bytes``; ``max_tokens`` is the loop's business.
    """

    def __init__(self, options: StoppingOptions) -> None:
        self._stops = StopMatcher(options.stop)
        self._utf8 = Utf8Stream()
        self._begun = b""
        self._bytes_left = options.max_bytes

    def push(self, piece: bytes) -> Grown:
        """Adds a token's bytes."""
        safe, matched = self._stops.push(piece)
        return self._grown(safe, FinishReason.STOP_STRING if matched else None)

    def finish(self) -> Grown:
        """Gives what was held back, where nothing goes on: at the end of the answer."""
        grown = self._grown(self._stops.flush(), None)
        self._utf8, self._begun = Utf8Stream(), b""
        return grown

    def _grown(self, safe: bytes, ended: FinishReason | None) -> Grown:
        """Cuts the text at the byte limit; a code point that does not fit is left out."""
        text, source = self._utf8.push(safe), self._begun + safe
        held = self._utf8.held_bytes
        size = len(source) - held
        self._begun = source[size:]
        if self._bytes_left is None:
            return Grown(text, ended, size)
        data = text.encode()
        if len(data) > self._bytes_left:
            text = data[: self._bytes_left].decode(errors="ignore")
            size = _spelt_by(text, source)
        self._bytes_left -= len(data)
        # A code point that is begun takes at least one byte more than is there of it.
        full = self._bytes_left <= held
        return Grown(text, FinishReason.MAX_BYTES if full else ended, size)


class Transcript:
    """The answer, symbol after symbol; each one is told as a token of its own.

    A token is told once it is decided which of its bytes are text: together with that text, or
    behind it.

    Args:
        stopping: Stop strings and ``max_bytes``; ``max_tokens`` is the loop's business.

    Attributes:
        ended: Why the answer ended; None while it goes on.
    """

    def __init__(self, stopping: StoppingOptions) -> None:
        self.ended: FinishReason | None = None
        self._text = AnswerText(stopping)
        self._undecided = UndecidedTokens()

    def add(self, token: Token, ends: FinishReason | None = None) -> Sequence[Delta | FinishReason]:
        """Adds a symbol; ``ends`` is why the answer ends behind it, if it does.

        Returns:
            What may be told, and at last why the answer ended, where it did.
        """
        self._undecided.push(token)
        grown = self._text.push(token.piece)
        text, size, self.ended = grown.text, grown.size, grown.ended
        if self.ended is None and ends is not None:
            rest = self._text.finish()
            text, size, self.ended = text + rest.text, size + rest.size, rest.ended or ends
        if self.ended is None:
            return self._told(text, self._undecided.take(size))
        return (*self._last_told(text, self._undecided.finish(size)), self.ended)

    def end(self, reason: FinishReason) -> Sequence[Delta | FinishReason]:
        """Ends the answer before a symbol.

        Returns:
            What is left to be told, and why the answer ended.
        """
        rest = self._text.finish()
        self.ended = rest.ended or reason
        return (*self._last_told(rest.text, self._undecided.finish(rest.size)), self.ended)

    def _told(self, text: str, tokens: Sequence[Token]) -> Sequence[Delta]:
        return (Delta(text, tuple(tokens)),) if text or tokens else ()

    def _last_told(self, text: str, tokens: Sequence[Token]) -> Sequence[Delta]:
        return self._told(text, tokens)


def _spelt_by(text: str, source: bytes) -> int:
    """How many of the first bytes decode to a text, where U+FFFD stands for what is no UTF-8."""
    sizes = range(len(source), -1, -1)
    return next(size for size in sizes if source[:size].decode(errors="replace") == text)
