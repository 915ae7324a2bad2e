"""JSON of megabytes, read a slice at a time. Pure.

``json.loads`` is one call, in which nobody else has the interpreter: a hundred milliseconds for a
text of 16 MB, on a thread too. Here each step takes what is read in well under one. It reads what
``json.loads`` reads of a text, apart from halves of surrogate pairs, NaN and Infinity.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from quorate.large_texts import SLICE

MOST_DEPTH = 128
"""Of lists and objects in each other."""

_FEW_VALUES = 4096
_RUN = SLICE // 16

_SPACE = re.compile(rf"[ \t\n\r]{{0,{SLICE}}}")
_SHORT = re.compile(r'[^"\\\x00-\x1f]{0,256}"')
# Whole escapes alone, so that none is cut in two.
_TEXT = re.compile(r'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+')
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
# Numbers behind each other, which a list may have hundreds of thousands of.
_NUMBERS = re.compile(r"(?:-?[0-9]{1,18},[ ]?)*+")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Of a number, or of what is small.
_decoded_at = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode


def count_values(data: bytes) -> int:
    """How many values JSON has, told by what stands between them; no fewer than it has.

    It is of bytes that nobody has read yet: of what is no JSON, it counts up to where that shows.
    """
    found, outside, rest = 0, True, b""
    for start in range(0, len(data), SLICE):
        piece = rest + data[start : start + SLICE]
        # The first half of an escape waits for its other half.
        odd = (len(piece) - len(piece.rstrip(b"\\"))) % 2
        piece, rest = (piece[:-1], b"\\") if odd else (piece, b"")
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        said = b"".join(parts[0 if outside else 1 :: 2])
        found += said.count(b",") + said.count(b"[") + said.count(b"{")
        outside ^= not len(parts) % 2
    return found


def read_json(data: bytes, values: int) -> Any:
    """The value that these bytes are.

    Args:
        data: JSON in UTF-8.
        values: How many it has, by ``count_values``.

    Raises:
        UnicodeError: A text in it is none, or the whole is not UTF-8.
        ValueError: It is no JSON; a ``json.JSONDecodeError`` where the place is known.
    """
    text = "".join(_decoded(data))
    reader = _Reader(text)
    if len(text) <= SLICE and values <= _FEW_VALUES:
        found = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            # Half a pair is a text that has no bytes.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
        return found
    found, end = reader.value(0, 0)
    if reader.after_space(end) != len(text):
        raise json.JSONDecodeError("extra data", text, end)
    return found


def _decoded(data: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), SLICE):
        yield decoder.decode(data[start : start + SLICE])
    yield decoder.decode(b"", final=True)


class _Reader:
    """Reads one text; what begins where is told by its index."""

    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value from here on, and where it ends."""
        at = self.after_space(at)
        first = self._text[at : at + 1]
        if first == '"':
            return self._string(at + 1)
        if first in ("{", "["):
            if depth == MOST_DEPTH:
                raise json.JSONDecodeError("too deep", self._text, at)
            read = self._object if first == "{" else self._list
            return read(at + 1, depth + 1)
        return _decoded_at(self._text, at)

    def after_space(self, at: int) -> int:
        """Where what is no white space begins."""
        while (end := _space_end(self._text, at)) - at == SLICE:
            at = end
        return end

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.after_space(at)
        if self._text[at : at + 1] == "}":
            return found, at + 1
        while True:
            name, at = self._string(self._expect('"', at))
            found[name], at = self.value(self._expect(":", at), depth)
            at = self.after_space(at)
            if self._text[at : at + 1] == "}":
                return found, at + 1
            at = self._expect(",", at)

    def _list(self, at: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.after_space(at)
        if self._text[at : at + 1] == "]":
            return found, at + 1
        while True:
            at = self._numbers(self.after_space(at), found)
            one, at = self.value(at, depth)
            found.append(one)
            at = self.after_space(at)
            if self._text[at : at + 1] == "]":
                return found, at + 1
            at = self._expect(",", at)

    def _numbers(self, at: int, found: list[Any]) -> int:
        """Reads numbers that others follow; returns where those begin."""
        while run := _run_of_numbers(self._text, at):
            try:
                found += _decoded_at(f"[{run}0]", 0)[0][:-1]
            except ValueError:
                raise json.JSONDecodeError("no number", self._text, at) from None
            at += len(run)
        return at

    def _string(self, at: int) -> tuple[str, int]:
        """The string whose first character stands here."""
        text = self._text
        if short := _SHORT.match(text, at):
            return text[at : short.end() - 1], short.end()
        parts = []
        while True:
            piece = _piece_of_string(text, at)
            one: str = _decoded_at(f'"{piece}"', 0)[0]
            if "\\u" in piece:
                one.encode("utf-8")
            parts.append(one)
            at += len(piece)
            if text[at : at + 1] == '"':
                return "".join(parts), at + 1
            if not piece:
                raise json.JSONDecodeError("no text", text, at)

    def _expect(self, what: str, at: int) -> int:
        at = self.after_space(at)
        if self._text[at : at + 1] != what:
            raise json.JSONDecodeError(f"no {what}", self._text, at)
        return at + 1


def _space_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _run_of_numbers(text: str, at: int) -> str:
    found = _NUMBERS.match(text, at, at + _RUN)
    assert found is not None
    return found[0]


def _piece_of_string(text: str, at: int) -> str:
    """Some of a string, no escape or pair of them cut in two; "" where none of it follows."""
    found = _TEXT.match(text, at, at + SLICE)
    assert found is not None
    piece = found[0]
    half = _HIGH_SURROGATE.search(piece, max(0, len(piece) - 6))
    if half is not None and half.start() and text.startswith("\\u", found.end()):
        return piece[: half.start()]
    return piece
