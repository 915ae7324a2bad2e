"""Read the header of a GGUF file (versions 2 and 3, little endian) without trusting it.

Every number in the header may be a lie: counts are capped, lengths are checked against the bytes
that are left before anything is read, and long values are skipped rather than loaded. Nothing
here knows what a key means.

Source of the format: the GGUF specification, ggml ``docs/gguf.md``.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quorate_registry.errors import BrokenFile
from quorate_registry.ggml_types import ARRAY, SCALARS, STRING, TENSOR_TYPES
from quorate_registry.untrusted import opened

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 16
MAX_KEY_BYTES = 1 << 16
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 20
MAX_STRINGS = 1 << 21
"""Strings in all arrays together; the largest vocabularies with their merges have a million."""
KEPT_STRING_BYTES = 1 << 20
"""Longer strings are skipped: no fact needs them."""
KEPT_TEXT_BYTES = 1 << 25
"""Text kept from one header, all values together."""
KEPT_ARRAY_ITEMS = 1 << 12
"""Longer arrays of numbers keep only their length."""
HASHED_STRINGS = 1 << 12
"""Strings of an array that its digest is of; further ones are skipped."""
HASHED_STRING_BYTES = 1 << 12
"""Of a longer one of them only the length counts."""

_U32 = SCALARS[4]
_U64 = SCALARS[10]


@dataclass(frozen=True)
class Array:
    """An array value.

    Attributes:
        count: number of items.
        values: the items where they are numbers and few; empty otherwise.
        digest: BLAKE2 of the first strings, hexadecimal; "" where the items are numbers.
    """

    count: int
    values: tuple[int | float | bool, ...] = ()
    digest: str = ""


Value = int | float | bool | str | Array


@dataclass(frozen=True)
class Tensor:
    """One entry of the tensor table.

    Attributes:
        name: unique name.
        kind: name of the GGML type, such as ``Q4_K``.
        elements: number of weights.
        size_bytes: bytes in the file.
    """

    name: str
    kind: str
    elements: int
    size_bytes: int


@dataclass(frozen=True)
class Layout:
    """What a GGUF header says.

    Attributes:
        version: format version.
        metadata: key-value pairs; strings over a mebibyte are left out.
        tensors: the tensor table, in the order of the file.
        size_bytes: size of the whole file.
    """

    version: int
    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]
    size_bytes: int


def read_layout(path: Path) -> Layout:
    """Read the header of a GGUF file.

    Raises:
        BrokenFile: the file cannot be read, is not GGUF, or contradicts itself.
    """
    with opened(path) as file:
        return _Parser(path, file).layout()


class _Parser:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._position = 0
        self._strings_left = MAX_STRINGS
        self._text_left = KEPT_TEXT_BYTES

    def layout(self) -> Layout:
        version = self._preamble()
        tensor_count = self._count("tensors", MAX_TENSORS)
        key_count = self._count("metadata keys", MAX_KEYS)
        metadata = self._metadata(key_count)
        alignment = self._alignment(metadata)
        entries = [self._tensor_entry(alignment) for _ in range(tensor_count)]
        data_start = -(-self._position // alignment) * alignment
        seen: set[str] = set()
        for tensor, offset in entries:
            if tensor.name in seen:
                raise self._broken(f"lists the tensor {tensor.name!r} twice")
            seen.add(tensor.name)
            if data_start + offset + tensor.size_bytes > self._size:
                raise self._broken(
                    f"is truncated: tensor {tensor.name!r} ends at byte "
                    f"{data_start + offset + tensor.size_bytes}, the file at {self._size}"
                )
        return Layout(version, metadata, tuple(tensor for tensor, _ in entries), self._size)

    def _preamble(self) -> int:
        if self._size == 0:
            raise self._broken("is empty")
        if self._take(4, "the magic number") != b"GGUF":
            raise self._broken("is not a GGUF file (wrong magic number)")
        version = self._u32("the version")
        if version in (2, 3):
            return version
        if version & 0xFFFF == 0 and version != 0:
            raise self._broken("is a big-endian GGUF file; convert it to little endian")
        raise self._broken(f"has GGUF version {version}; versions 2 and 3 can be read")

    def _metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        seen: set[str] = set()
        for index in range(count):
            key = self._name(f"metadata key {index}")
            if key in seen:
                raise self._broken(f"has the metadata key {key!r} twice")
            seen.add(key)
            value = self._value(self._u32(key), key)
            if value is not None:
                metadata[key] = value
        return metadata

    def _value(self, kind: int, key: str) -> Value | None:
        if kind in SCALARS:
            return self._scalar(SCALARS[kind], key)
        if kind == STRING:
            return self._text(key)
        if kind == ARRAY:
            return self._array(key)
        raise self._broken(f"gives {key!r} the unknown value type {kind}")

    def _array(self, key: str) -> Array:
        kind = self._u32(key)
        count = self._u64(key)
        if kind == STRING:
            return Array(count, digest=self._strings(count, key))
        if kind == ARRAY:
            raise self._broken(f"nests arrays in {key!r}, which no GGUF reader supports")
        if kind not in SCALARS:
            raise self._broken(f"gives the items of {key!r} the unknown value type {kind}")
        layout = SCALARS[kind]
        if count > KEPT_ARRAY_ITEMS:
            self._skip(count * layout.size, key)
            return Array(count)
        items = self._take(count * layout.size, key)
        return Array(count, tuple(item for (item,) in layout.iter_unpack(items)))

    def _strings(self, count: int, key: str) -> str:
        """Reads past the strings of an array; returns the digest of the first ones."""
        if count > self._strings_left:
            raise self._broken(f"claims {count} strings in {key!r}, too many to be a model")
        self._strings_left -= count
        digest = hashlib.blake2b(digest_size=16)
        for index in range(count):
            length = self._u64(key)
            if index >= HASHED_STRINGS:
                self._skip(length, key)
                continue
            digest.update(length.to_bytes(8, "little"))
            if length > HASHED_STRING_BYTES:
                self._skip(length, key)
            else:
                digest.update(self._take(length, key))
        return digest.hexdigest()

    def _text(self, key: str) -> str | None:
        length = self._u64(key)
        if length > KEPT_STRING_BYTES:
            self._skip(length, key)
            return None
        if length > self._text_left:
            raise self._broken("has more text in its header than any model needs")
        self._text_left -= length
        return self._take(length, key).decode("utf-8", errors="replace")

    def _name(self, what: str) -> str:
        length = self._u64(what)
        if length > MAX_KEY_BYTES:
            raise self._broken(f"claims {length} bytes for {what}")
        try:
            return self._take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._broken(f"has no UTF-8 text as {what}") from error

    def _alignment(self, metadata: dict[str, Value]) -> int:
        value = metadata.get("general.alignment", 32)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._broken("has an alignment that is not a whole number")
        if not 1 <= value <= MAX_ALIGNMENT or value & (value - 1):
            raise self._broken(f"has the alignment {value}, which is not a power of two")
        return value

    def _tensor_entry(self, alignment: int) -> tuple[Tensor, int]:
        name = self._name("a tensor name")
        rank = self._u32(name)
        if rank > MAX_DIMENSIONS:
            raise self._broken(f"gives the tensor {name!r} {rank} dimensions")
        shape = [self._u64(name) for _ in range(rank)]
        kind = self._u32(name)
        offset = self._u64(name)
        if kind not in TENSOR_TYPES:
            raise self._broken(f"gives the tensor {name!r} the unknown type {kind}")
        kind_name, block_elements, block_bytes = TENSOR_TYPES[kind]
        elements = 1
        for width in shape:
            elements *= width
        if (shape[0] if shape else 1) % block_elements:
            raise self._broken(f"has a row of tensor {name!r} that is no multiple of its block")
        if offset % alignment:
            raise self._broken(f"has the tensor {name!r} at an unaligned offset")
        return Tensor(name, kind_name, elements, elements // block_elements * block_bytes), offset

    def _count(self, what: str, limit: int) -> int:
        count = self._u64(f"the number of {what}")
        if count > limit:
            raise self._broken(f"claims {count} {what}; at most {limit} are believable")
        return count

    def _scalar(self, layout: struct.Struct, what: str) -> int | float | bool:
        value: int | float | bool = layout.unpack(self._take(layout.size, what))[0]
        return value

    def _u32(self, what: str) -> int:
        return int(_U32.unpack(self._take(4, what))[0])

    def _u64(self, what: str) -> int:
        return int(_U64.unpack(self._take(8, what))[0])

    def _take(self, length: int, what: str) -> bytes:
        self._require(length, what)
        data = self._file.read(length)
        if len(data) != length:
            raise self._broken(f"became shorter while {what!r} was read")
        self._position += length
        return data

    def _skip(self, length: int, what: str) -> None:
        self._require(length, what)
        self._file.seek(length, os.SEEK_CUR)
        self._position += length

    def _require(self, length: int, what: str) -> None:
        if length > self._size - self._position:
            raise self._broken(f"is truncated: it ends inside {what!r}")

    def _broken(self, reason: str) -> BrokenFile:
        return BrokenFile(self._path, reason)
