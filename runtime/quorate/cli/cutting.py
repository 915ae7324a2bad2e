"""Cutting a long text into pieces that fit a context, each with what stands before it."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.request.plans import DEFAULT_WIDTH, beam_margin

# BOS, the space that SentencePiece puts before a text, and one that no text fills.
_BESIDE_THE_TEXT = 3
_SPACE = frozenset(b" \t\r\n")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much text a request can hold, whatever the tokenizer.

    A token has at least one byte, so that so many bytes are never more tokens. A byte-exact vote
    keeps a reserve of KV tokens, at most half of what the prompt leaves free.

    Attributes:
        context: Tokens of the smallest context among the members.
        width: Width of the beam.
    """

    context: int
    width: int = DEFAULT_WIDTH

    def needed(self, before: int, size: int) -> int:
        """Tokens that ``size`` bytes of text may need behind ``before`` bytes of prompt."""
        return before + size + min(size, self._reserve) + _BESIDE_THE_TEXT

    def alone(self) -> int:
        """Most bytes of a text without a prompt."""
        remaining = self.context - _BESIDE_THE_TEXT
        return max(remaining - self._reserve, remaining // 2)

    def behind_its_like(self) -> int:
        """Most bytes of a text behind a prompt of the same size."""
        remaining = self.context - _BESIDE_THE_TEXT
        return max((remaining - self._reserve) // 2, remaining // 3)

    def before(self, size: int) -> int:
        """Most bytes of prompt before a text of ``size`` bytes."""
        return max(0, self.context - self.needed(0, size))

    def halved(self) -> Limits:
        """Half as much."""
        return Limits(self.context // 2, self.width)

    @property
    def exhausted(self) -> bool:
        """Whether a piece is one code point without a prompt already, and no less is possible."""
        return self.context <= _BESIDE_THE_TEXT

    @property
    def _reserve(self) -> int:
        return beam_margin(self.width)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text.

    Attributes:
        prompt: What stands before it, as far as it fits; empty at the beginning of the text.
        text: The piece, never empty.
        end: Where it ends in the whole text, in bytes.
    """

    prompt: str
    text: str
    end: int


def next_piece(data: bytes, start: int, limits: Limits) -> Piece:
    """The piece that begins at ``start``.

    It ends between code points and, where there is one near, before the space of a word. Where
    not even one code point fits it has one all the same. The whole text is valid UTF-8, and
    ``start`` lies between code points, before its end.
    """
    most = limits.behind_its_like() if start else limits.alone()
    end = _end(data, start, start + max(0, most))
    begin = max(0, start - limits.before(end - start))
    while begin < start and _within_code_point(data, begin):
        begin += 1
    return Piece(data[begin:start].decode(), data[start:end].decode(), end)


def _end(data: bytes, start: int, latest: int) -> int:
    if latest >= len(data):
        return len(data)
    end = latest
    while end > start and _within_code_point(data, end):
        end -= 1
    if end == start:
        return _end_of_code_point(data, start)
    earliest = end - (end - start) // 4
    for word_end in range(end, earliest, -1):
        if data[word_end] in _SPACE and data[word_end - 1] not in _SPACE:
            return word_end
    return end


def _end_of_code_point(data: bytes, start: int) -> int:
    end = start + 1
    while end < len(data) and _within_code_point(data, end):
        end += 1
    return end


def _within_code_point(data: bytes, index: int) -> bool:
    return data[index] & 0xC0 == 0x80
