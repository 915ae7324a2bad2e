"""What a request says too often, found on the wire before it is parsed.

Parsing takes the thread of the event loop, and with it every stream: a message of a million empty
turns would hold them up for a second. Here only tags and lengths are read, up to the first field
that comes too often.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from quorate.access.limits import MAX_BIASES, MAX_MESSAGES, MAX_STOP_STRINGS
from quorate.errors import InvalidRequest

CHECKED_BYTES = 64 * 1024
"""What is shorter is parsed in some milliseconds, whatever it says."""

MOST_FIELDS = MAX_MESSAGES + MAX_STOP_STRINGS
"""Of a request, without entries of maps and what messages hold in which nothing is repeated."""

_VARINT, _FIXED64, _DELIMITED, _BEGINS, _ENDS, _FIXED32 = range(6)
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


class _Field(NamedTuple):
    """One field of a message.

    Attributes:
        is_map: Whether it is an entry of a map.
        parts: The fields of its own message, where some of them may come again and again.
    """

    name: str
    is_map: bool
    parts: dict[int, _Field] | None


class _Counter:
    """How many fields may still come."""

    def __init__(self) -> None:
        self.fields = MOST_FIELDS
        self.entries = MAX_BIASES

    def count(self, path: str, is_map: bool) -> None:
        if is_map:
            self.entries -= 1
        else:
            self.fields -= 1
        if self.fields < 0 or self.entries < 0:
            most = MAX_BIASES if is_map else MOST_FIELDS
            raise InvalidRequest(path, f"is one of more than {most} in one request; send fewer")


def check_fields(kind: Any, data: bytes) -> None:
    """Counts the fields of a message of this protobuf descriptor.

    What cannot be read is left to the parser.

    Raises:
        InvalidRequest: There are more than any request needs.
    """
    if len(data) <= CHECKED_BYTES:
        return
    try:
        _walk(_fields(kind), data, 0, len(data), "", _Counter())
    except IndexError:
        return


def _walk(
    fields: dict[int, _Field], data: bytes, at: int, end: int, prefix: str, counter: _Counter
) -> None:
    # Groups are no part of any message here, and the parser passes over them as unknown fields.
    groups = 0
    while at < end:
        tag, at = _varint(data, at)
        field, wire = _UNKNOWN if groups else fields.get(tag >> 3, _UNKNOWN), tag & 7
        counter.count(prefix + field.name, field.is_map)
        if wire == _DELIMITED:
            size, at = _varint(data, at)
            if field.parts:
                _walk(field.parts, data, at, at + size, f"{prefix}{field.name}.", counter)
            at += size
        elif wire == _VARINT:
            _, at = _varint(data, at)
        elif wire in _FIXED_SIZES:
            at += _FIXED_SIZES[wire]
        elif wire == _BEGINS:
            groups += 1
        elif wire == _ENDS and groups:
            groups -= 1
        else:
            return


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while byte >= 128 and shift < 64:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


@cache
def _fields(kind: Any) -> dict[int, _Field]:
    return {field.number: _field(field) for field in kind.fields}


def _field(field: Any) -> _Field:
    message = field.message_type
    if message is None or not _repeats(message):
        return _Field(field.name, False, None)
    if message.GetOptions().map_entry:
        return _Field(field.name, True, None)
    return _Field(field.name, False, _fields(message))


def _repeats(kind: Any) -> bool:
    """Whether anything in a message may come again and again, or it is an entry of a map."""
    return kind.GetOptions().map_entry or any(
        field.is_repeated or (field.message_type is not None and _repeats(field.message_type))
        for field in kind.fields
    )


_UNKNOWN = _Field("unknown fields", False, None)
