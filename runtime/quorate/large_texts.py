"""Texts of megabytes, a slice at a time.

Whatever is done with a text in one call keeps the interpreter for all of it, on a thread too: 16 MB
are written as JSON in 50 ms, in which the event loop stands still. Between slices others get on.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

SLICE = 1 << 16
"""Characters that are dealt with in one go, well within a millisecond."""

# Values that are written in one go, and characters that count as much as one.
_SMALL = 256
_CHARACTERS = SLICE // _SMALL

_json_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def slices(text: str) -> Iterator[str]:
    """The text in pieces, none of which is large; one that is not is given as it is."""
    if len(text) <= SLICE:
        yield text
        return
    for start in range(0, len(text), SLICE):
        yield text[start : start + SLICE]


def utf8_size(text: str) -> int:
    """Bytes in UTF-8, without a copy of what is ASCII."""
    if text.isascii():
        return len(text)
    return sum(len(_utf8(piece)) for piece in slices(text))


def utf8(text: str) -> bytes:
    """The text in UTF-8; halves of surrogate pairs are passed on as they are."""
    return b"".join(map(_utf8, slices(text)))


def json_string(text: str) -> str:
    """The text as a string of JSON, quotes included."""
    return f'"{"".join(_json_of(piece)[1:-1] for piece in slices(text))}"'


def as_json(value: Any) -> bytes:
    """A value as compact JSON in UTF-8.

    Raises:
        ValueError: A number in it is none that JSON knows.
    """
    return b"".join(json_pieces(value))


def json_pieces(value: Any) -> Iterator[bytes]:
    """What ``as_json`` gives, in pieces of which none is large, each written when it is asked for.

    Raises:
        ValueError: A number in it is none that JSON knows.
    """
    if _room_left(value, _SMALL) >= 0:
        yield _utf8(_json_of(value))
    elif isinstance(value, str):
        yield from map(_utf8, slices(json_string(value)))
    elif isinstance(value, Mapping):
        yield b"{"
        for index, (name, one) in enumerate(value.items()):
            yield _utf8(f"{',' if index else ''}{json_string(name)}:")
            yield from json_pieces(one)
        yield b"}"
    else:
        yield b"["
        for index, one in enumerate(value):
            if index:
                yield b","
            yield from json_pieces(one)
        yield b"]"


def _room_left(value: Any, room: int) -> int:
    """What is left of so much room, in values, by a value; looks no further once it is negative."""
    kind = type(value)
    if kind is str:
        return room - 1 - len(value) // _CHARACTERS
    if kind is dict:
        parts = value.values()
        room -= sum(len(name) // _CHARACTERS for name in value if len(name) >= _CHARACTERS)
    elif kind is list or kind is tuple:
        parts = value
    else:
        # Of the other mappings and lists the encoder knows few.
        return -1 if isinstance(value, Mapping | list | tuple | str) else room - 1
    room -= 1 + len(parts)
    for part in parts:
        if room < 0:
            break
        kind = type(part)
        # Most are small, and counted already.
        if kind is str:
            room -= len(part) // _CHARACTERS
        elif kind is not int and kind is not float and part is not None:
            room = _room_left(part, room + 1)
    return room


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
