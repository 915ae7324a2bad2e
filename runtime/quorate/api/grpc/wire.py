"""Holds a request against the limits of fields on the wire, before it is parsed.

Parsing takes memory and time with what is there: a message of a million empty turns would take a
second. Here only tags and lengths are read, up to the first field that has too many entries or too
many bytes. What passes is small enough to be parsed, translated and told of.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from quorate.access.limits import LIMITS, MAX_MESSAGES, FieldLimit
from quorate.errors import InvalidRequest, PromptTooLong

MOST_FIELDS = 4 * MAX_MESSAGES
"""Of a request, whatever they are; entries of maps are limited by their own field."""

_PROMPTS = frozenset({"prompt", "continuation", "messages", "content"})
"""What is refused as a prompt that no context holds."""

_VARINT, _FIXED64, _DELIMITED, _BEGINS, _ENDS, _FIXED32 = range(6)
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_CONTINUES = bytes(range(128, 256))
_LONGEST_VARINT = 10


class _Field(NamedTuple):
    """One field of a message.

    Attributes:
        most: What it may hold; None for what has neither texts nor entries.
        repeats: Whether it may come again and again; else what comes again is merged.
        is_map: Whether it is an entry of a map, which holds nothing but numbers.
        is_packed: Whether several numbers may stand in one piece.
        parts: The fields of its own message, where any of them has a limit.
    """

    name: str
    most: FieldLimit | None
    repeats: bool
    is_map: bool
    is_packed: bool
    parts: Mapping[int, _Field] | None


class _Held:
    """What the fields of one message that repeat hold so far, and the messages within it."""

    __slots__ = ("bytes", "counts", "within")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self.within: dict[str, _Held] = {}

    def inside(self, field: _Field) -> _Held:
        """What a message within this one holds, which may come in several pieces."""
        if field.repeats:
            return _Held()
        return self.within.setdefault(field.name, _Held())


class _Exceeded(Exception):
    """A field that holds too much; its path grows while the walk goes back."""

    def __init__(self, name: str, problem: str, *, is_long: bool = False) -> None:
        super().__init__(problem)
        self.path = [name]
        self.problem = problem
        self.is_prompt = is_long and name.partition("[")[0] in _PROMPTS


class _Part(NamedTuple):
    """A message within a message.

    Attributes:
        number: Which one of those of its field.
        at: Where it begins in the data.
    """

    field: _Field
    fields: Mapping[int, _Field]
    number: int
    at: int
    end: int


class _Walk:
    """Goes through one request. What cannot be read ends it; the parser tells of that."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields_left = MOST_FIELDS

    def message(self, fields: Mapping[int, _Field], held: _Held, at: int, end: int) -> None:
        """Looks at the fields of a message between two places, then at the messages among them.

        So too many of these are refused before any of them has been looked into.

        Raises:
            _Exceeded: One holds too much.
        """
        messages: list[_Part] = []
        # Behind what cannot be read there is nothing, but what stands before it would be parsed.
        with suppress(IndexError):
            self._level(fields, held, at, end, messages)
        for part in messages:
            self._enter(part, held)

    def _level(
        self,
        fields: Mapping[int, _Field],
        held: _Held,
        at: int,
        end: int,
        messages: list[_Part],
    ) -> None:
        data = self._data
        # Groups are no part of any message here, and the parser passes over them as unknown fields.
        groups = 0
        while at < end:
            tag, at = _varint(data, at)
            field, wire = _UNKNOWN if groups else fields.get(tag >> 3, _UNKNOWN), tag & 7
            if not field.is_map:
                self._count(field)
            size = 0
            if wire == _DELIMITED:
                size, at = _varint(data, at)
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
            if field.most is not None:
                self._hold(field, field.most, held, at, size if wire == _DELIMITED else -1)
            if field.parts is not None and wire == _DELIMITED:
                index = held.counts.get(field.name, 1) - 1
                messages.append(_Part(field, field.parts, index, at, at + size))
            at += size

    def _count(self, field: _Field) -> None:
        self._fields_left -= 1
        if self._fields_left < 0:
            problem = f"is one of more than {MOST_FIELDS} in one request; send fewer"
            raise _Exceeded(field.name, problem)

    def _hold(self, field: _Field, most: FieldLimit, held: _Held, at: int, size: int) -> None:
        """Adds one piece to what a field holds, and checks that; no piece has a size of -1."""
        name = field.name
        if most.bytes is not None and size > most.bytes:
            shown = f"{name}[{held.counts.get(name, 0)}]" if field.repeats else name
            problem = f"has {size} bytes; at most {most.bytes} are allowed"
            raise _Exceeded(shown, problem, is_long=True)
        if most.count is None:
            return
        count = held.counts.get(name, 0)
        count += self._packed(at, size, most.count) if field.is_packed and size >= 0 else 1
        held.counts[name] = count
        if count > most.count:
            raise _Exceeded(name, f"has more than {most.count} entries; send fewer")
        if most.total_bytes is None:
            return
        held.bytes[name] = held.bytes.get(name, 0) + max(size, 0)
        if held.bytes[name] > most.total_bytes:
            problem = f"has more than {most.total_bytes} bytes together; send less"
            raise _Exceeded(name, problem, is_long=True)

    def _packed(self, at: int, size: int, most: int) -> int:
        """How many numbers stand in one piece; of a piece that is too long only that it is."""
        if size > most * _LONGEST_VARINT:
            return most + 1
        return len(self._data[at : at + size].translate(None, _CONTINUES))

    def _enter(self, part: _Part, held: _Held) -> None:
        field = part.field
        try:
            self.message(part.fields, held.inside(field), part.at, part.end)
        except _Exceeded as exceeded:
            index = f"[{part.number}]" if field.repeats else ""
            exceeded.path.insert(0, f"{field.name}{index}")
            raise


def check_fields(kind: Any, data: bytes) -> None:
    """Holds a message of this protobuf descriptor against ``access.limits.LIMITS``.

    What cannot be read is left to the parser.

    Raises:
        InvalidRequest: Names the first field that holds more than it may.
    """
    try:
        _Walk(data).message(_fields(kind), _Held(), 0, len(data))
    except _Exceeded as exceeded:
        error = PromptTooLong if exceeded.is_prompt else InvalidRequest
        raise error(".".join(exceeded.path), exceeded.problem) from None


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
def _limits() -> Mapping[tuple[str, str], FieldLimit]:
    return {(limit.message, limit.field): limit for limit in LIMITS}


@cache
def _fields(kind: Any) -> Mapping[int, _Field]:
    return {field.number: _field(kind, field) for field in kind.fields}


def _field(kind: Any, field: Any) -> _Field:
    message = field.message_type
    is_map = message is not None and message.GetOptions().map_entry
    return _Field(
        name=field.name,
        most=_limits().get((kind.name, field.name)),
        repeats=field.is_repeated,
        is_map=is_map,
        is_packed=field.is_repeated and message is None and field.type not in _TEXTS,
        parts=_limited_parts(message) if message is not None and not is_map else None,
    )


def _limited_parts(kind: Any) -> Mapping[int, _Field] | None:
    fields = _fields(kind)
    limited = any(field.most is not None or field.parts is not None for field in fields.values())
    return fields if limited else None


_TEXTS = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES})

_UNKNOWN = _Field("unknown fields", None, False, False, False, None)
