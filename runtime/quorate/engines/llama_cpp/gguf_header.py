"""What the header of a GGUF file says, without loading anything and without the native library.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Every count is
held against the bytes that are there; texts and lists that no rule needs are walked over.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from quorate.errors import ModelUnusable

_PREAMBLE = struct.Struct("<4sIQQ")
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_READABLE = (2, 3)
# Codes of value types, and the layout of those that are a single number.
_NUMBERS = {
    code: struct.Struct(f"<{letter}") for code, letter in enumerate("BbHhIif?  Qqd") if letter > " "
}
_TEXT, _LIST = 8, 9
# An empty key, its type and a one-byte value; an unnamed tensor without dimensions.
_SMALLEST_PAIR = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 4 + 8
_KEPT_TEXT_BYTES = 1 << 12
_KEPT_ITEMS = 1 << 12
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True)
class Items:
    """A list: how many items it has, and the items where they are numbers and few."""

    count: int
    values: tuple[int | float | bool, ...] = ()


Value: TypeAlias = int | float | bool | str | Items


@dataclass(frozen=True, slots=True)
class Header:
    """A header as far as it could be followed.

    Attributes:
        metadata: Values by key, without long texts.
        tensors: Shapes by name, innermost dimension first.
        whole: Whether all of it could be read; where not, the native loader says what is wrong.
    """

    metadata: Mapping[str, Value] = field(default_factory=dict)
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    whole: bool = False

    @property
    def architecture(self) -> str:
        """Such as ``llama``; "" where the file names none."""
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """A text, or "" where there is none of this name."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float:
        """A number, or 0 where there is none of this name."""
        value = self.metadata.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    def shown(self, key: str) -> str:
        """A value as text, or "" where there is none of this name."""
        value = self.metadata.get(key, "")
        return "" if isinstance(value, Items) else str(value)

    def own(self, key: str) -> Value | None:
        """The value of a key of the architecture, such as ``attention.causal``."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read_header(path: str, subject: str) -> Header:
    """Reads a header.

    Raises:
        ModelUnusable: The file is missing, unreadable, empty, cut short or something else.
    """
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # Opening a pipe would wait for ever for somebody to write into it.
            raise ModelUnusable(subject, f"{path} is not a file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            preamble = file.read(_PREAMBLE.size)
            _check_preamble(preamble, size, path, subject)
            _, version, tensors, pairs = _PREAMBLE.unpack(preamble)
            if version not in _READABLE:
                return Header()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Walk(data).header(pairs, tensors)
    except OSError as error:
        raise ModelUnusable(subject, f"cannot read {path}: {error.strerror}") from error
    except (struct.error, OverflowError, _Corrupt) as error:
        problem = f"{path} is truncated or corrupt: its header cannot be followed to its end"
        raise ModelUnusable(subject, problem) from error


def _check_preamble(data: bytes, size: int, path: str, subject: str) -> None:
    if not data:
        raise ModelUnusable(subject, f"{path} is empty")
    if not data.startswith(b"GGUF"):
        raise ModelUnusable(subject, f"{path} is not a GGUF file: it starts with {data[:4]!r}")
    if len(data) < _PREAMBLE.size:
        raise ModelUnusable(subject, f"{path} is truncated: its header is incomplete")
    _, _, tensors, pairs = _PREAMBLE.unpack(data)
    if tensors * _SMALLEST_TENSOR + pairs * _SMALLEST_PAIR > size:
        raise ModelUnusable(
            subject,
            f"{path} is corrupt: its header claims {tensors} tensors and {pairs} metadata keys, "
            f"more than its {size} bytes can hold",
        )


class _Corrupt(ValueError):
    """A length or a type that cannot be."""


class _Unknown(ValueError):
    """Something that only the native loader may know."""


class _Walk:
    """Goes through a header from its front to its back."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = _PREAMBLE.size

    def header(self, pairs: int, tensors: int) -> Header:
        metadata: dict[str, Value] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        try:
            for _ in range(pairs):
                key = self._text(_KEPT_TEXT_BYTES)
                value = self._value(self._number(_U32))
                if key is not None and value is not None:
                    metadata[key] = value
            for _ in range(tensors):
                name = self._text(_KEPT_TEXT_BYTES)
                dimensions = self._number(_U32)
                if dimensions > _MOST_DIMENSIONS:
                    raise _Unknown
                shape = tuple(self._number(_U64) for _ in range(dimensions))
                self._skip(_U32.size + _U64.size)
                if name is not None:
                    shapes[name] = shape
        except _Unknown:
            return Header(metadata, shapes)
        # Two tensors of one name are the loader's to refuse.
        return Header(metadata, shapes, whole=len(shapes) == tensors)

    def _value(self, kind: int) -> Value | None:
        if kind in _NUMBERS:
            layout = _NUMBERS[kind]
            value: int | float | bool = layout.unpack_from(self._data, self._at)[0]
            self._at += layout.size
            return value
        if kind == _TEXT:
            return self._text(_KEPT_TEXT_BYTES)
        if kind == _LIST:
            return self._list(self._number(_U32), self._number(_U64))
        raise _Unknown

    def _list(self, kind: int, count: int) -> Items:
        if kind == _TEXT:
            self._skip_texts(count)
            return Items(count)
        layout = _NUMBERS.get(kind)
        if layout is None:
            raise _Unknown
        start = self._at
        self._skip(count * layout.size)
        if count > _KEPT_ITEMS:
            return Items(count)
        return Items(
            count, tuple(one for (one,) in layout.iter_unpack(self._data[start : self._at]))
        )

    def _skip_texts(self, count: int) -> None:
        # A vocabulary with its merges has a million of them: nothing but the steps is done here.
        at, data, length_at, step = self._at, self._data, _U64.unpack_from, _U64.size
        for _ in range(count):
            at += step + length_at(data, at)[0]
        self._at = at

    def _text(self, longest: int) -> str | None:
        length = self._number(_U64)
        start = self._at
        self._skip(length)
        return None if length > longest else self._data[start : self._at].decode(errors="replace")

    def _number(self, layout: struct.Struct) -> int:
        value: int = layout.unpack_from(self._data, self._at)[0]
        self._at += layout.size
        return value

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._data):
            raise _Corrupt
