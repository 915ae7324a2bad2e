"""Where a text may be cut so that its pieces have the tokens of the whole. Pure.

Tokens that are found by merging, as those of BPE and SentencePiece are, never reach across two
bytes that stand beside each other in no token of the vocabulary: no merge can join them, whatever
stands on either side. Where a pre-tokenizer divides the text into words first, it must see the same
words besides.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_WINDOW = 8192

# What may begin a piece: every pre-tokenizer divides a letter from these, or leaves the word to the
# merges. Apostrophes and marks are missing because they belong to the letter before.
_BEGINNINGS = " \n\r\t,;:(\u3001\u3002\uff0c\uff1a"
_CANDIDATE = re.compile(rf"[^\W\d_][{re.escape(_BEGINNINGS)}]")
# No UTF-8 text has it, so that what stands beside it is beside the end of a token.
_END = 0xFF
# How SentencePiece writes a space, whoever wrote it.
_SPACE = "\u2581"
_CONTINUES, _CONTINUATION = 0xC0, 0x80


class TextBorders(ABC):
    """Cuts texts for one vocabulary."""

    size = 512
    """Characters of a piece that cost little, together or one by one."""

    def cut(self, text: str, size: int | None = None) -> Iterator[str]:
        """Yields the pieces of a text, one at least.

        A piece has at most ``size`` characters, or as many more as there are up to the next border.
        """
        start, size = 0, size or self.size
        while len(text) - start > size:
            border = self._last(text, start + max(1, size // 2), start + size + 1)
            low = start + size + 1
            while border is None and low < len(text):
                border = self._first(text, low, low + _WINDOW)
                low += _WINDOW
            if border is None:
                break
            yield text[start:border]
            start = border
        yield text[start:]

    @abstractmethod
    def _last(self, text: str, low: int, high: int) -> int | None:
        """The last border from ``low`` on and before ``high``."""

    @abstractmethod
    def _first(self, text: str, low: int, high: int) -> int | None:
        """The first one of them."""


class MergeBorders(TextBorders):
    """Borders where nothing but merging finds tokens, as in SentencePiece.

    Its pieces are short: where tokens stand for line ends and tabs, llama.cpp's time is the square
    of their number (120 kB of line ends on Gemma 3: 60 s whole, 3.7 s in pieces of 8192 characters,
    0.2 s in pieces of 512; prose takes the same in all of them).

    Args:
        pieces: The bytes of every token.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        table = _table(pieces)
        self._joined = np.zeros((256, 256), bool)
        self._joined[table[:-1], table[1:]] = True

    def _last(self, text: str, low: int, high: int) -> int | None:
        borders = self._borders(text, low, high)
        return int(borders[-1]) if len(borders) else None

    def _first(self, text: str, low: int, high: int) -> int | None:
        borders = self._borders(text, low, high)
        return int(borders[0]) if len(borders) else None

    def _borders(self, text: str, low: int, high: int) -> npt.NDArray[np.intp]:
        part = text[low - 1 : high].replace(_SPACE, " ")
        data = np.frombuffer(part.encode("utf-8", "replace"), np.uint8)
        begins = (data & _CONTINUES) != _CONTINUATION
        divided = begins[1:] & ~self._joined[data[:-1], data[1:]]
        # The character before the first possible border is the one at low - 1.
        found: npt.NDArray[np.intp] = low - 1 + (np.cumsum(begins)[1:][divided] - 1)
        return found


class WordBorders(TextBorders):
    """Borders where a pre-tokenizer divides the text into words, and tokens are merged in these.

    They stand behind a letter and before a character that begins no word with it. No pre-tokenizer
    looks back, or past the end of a run of letters. Its pieces are longer, since llama.cpp compiles
    regular expressions for each of them.

    Args:
        pieces: The bytes of every token.
    """

    size = 4096

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._joined = _joined_pairs(_table(pieces))

    def _last(self, text: str, low: int, high: int) -> int | None:
        found = None
        for border in self._borders(text, low, high):
            found = border
        return found

    def _first(self, text: str, low: int, high: int) -> int | None:
        return next(self._borders(text, low, high), None)

    def _borders(self, text: str, low: int, high: int) -> Iterator[int]:
        for candidate in _CANDIDATE.finditer(text, low - 1, high):
            letter, beginning = text[candidate.start()], text[candidate.start() + 1]
            last_byte = letter.encode("utf-8", "replace")[-1]
            if letter.isalpha() and (last_byte, beginning) not in self._joined:
                yield candidate.end() - 1


def _table(pieces: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """All tokens, an ``_END`` before and behind each."""
    return np.frombuffer(bytes((_END,)).join((b"", *pieces, b"", b"")), np.uint8)


def _joined_pairs(table: npt.NDArray[np.uint8]) -> frozenset[tuple[int, str]]:
    """Which last bytes of a letter some token joins with what may begin a piece.

    Tokens may end within a character; so of one with several bytes the first two count for all.
    """
    pairs: set[tuple[int, str]] = set()
    for beginning in _BEGINNINGS:
        code = beginning.encode()
        at = np.flatnonzero(table[1:-1] == code[0]) + 1
        if len(code) > 1:
            second = table[at + 1]
            at = at[(second == code[1]) | (second == _END)]
        pairs.update((int(byte), beginning) for byte in np.unique(table[at - 1]))
    return frozenset(pairs)
