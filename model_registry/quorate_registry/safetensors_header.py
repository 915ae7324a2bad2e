"""Read the header of a safetensors file without trusting it, and without loading a weight.

The header is JSON, but no JSON parser sees the whole of it: a hostile one could be made to unfold
into many times its size. It is walked entry by entry, each of them capped, and every offset is
checked against the bytes that the file has.

Source of the format: the safetensors documentation, "Format", and the checks of its reference
implementation: the tensors cover the data exactly, without holes and without overlaps.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from quorate_registry.errors import BrokenFile
from quorate_registry.untrusted import opened

MAX_HEADER_BYTES = 1 << 25
"""The largest published headers, of merged mixtures of experts, have some ten mebibytes."""
MAX_TENSORS = 1 << 17
MAX_NAME_BYTES = 1 << 12
MAX_ENTRY_BYTES = 1 << 12
MAX_DIMENSIONS = 16

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Type name -> bits of one element."""

# Possessive: nothing is remembered for going back, so that no text makes a match costly.
_SPACE = rb"[ \t\n\r]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_COLON = _SPACE + rb":" + _SPACE
_KEY = re.compile(_SPACE + rb"(" + _STRING + rb")" + _COLON + rb"\{", re.DOTALL)
_PAIR = re.compile(_SPACE + _STRING + _COLON + _STRING + _SPACE + rb"([,}])", re.DOTALL)
_END = re.compile(_SPACE + rb"\}")
_NEXT = re.compile(_SPACE + rb"([,}])")
_METADATA = "__metadata__"
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class SafeTensor:
    """One entry of the header.

    Attributes:
        name: unique name.
        dtype: such as ``BF16``.
        elements: product of the shape.
        start: first byte, counted from the end of the header.
        end: one past the last byte.
    """

    name: str
    dtype: str
    elements: int
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self.end - self.start


def read_header(path: Path) -> tuple[SafeTensor, ...]:
    """Read the tensor table of a safetensors file, in the order of the data.

    Raises:
        BrokenFile: the file cannot be read, is not safetensors, or contradicts itself.
    """
    with opened(path) as file:
        header, data_bytes = _header(path, file)
    tensors = _Walk(path, header).tensors()
    return _without_gaps(path, tensors, data_bytes)


def _header(path: Path, file: BinaryIO) -> tuple[bytes, int]:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise BrokenFile(path, "is empty")
    if size < 8:
        raise BrokenFile(path, "is truncated: it ends inside the length of its header")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        reason = f"is not a safetensors file, or damaged: its header would have {length} bytes"
        raise BrokenFile(path, reason)
    if length > size - 8:
        raise BrokenFile(path, "is truncated: it ends inside its header")
    header = file.read(length)
    if len(header) != length:
        raise BrokenFile(path, "became shorter while its header was read")
    if not header.startswith(b"{"):
        raise BrokenFile(path, "is not a safetensors file (no JSON object as header)")
    if not _is_utf8(header):
        raise BrokenFile(path, "has a header that is not UTF-8 text")
    return header, size - 8 - length


def _is_utf8(header: bytes) -> bool:
    # By pieces: one wide character makes four bytes of each in a text held as a whole.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(header), _PIECE_BYTES):
            decoder.decode(header[start : start + _PIECE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


class _Walk:
    """Goes through a header from one top-level entry to the next."""

    def __init__(self, path: Path, header: bytes) -> None:
        self._path = path
        self._header = header
        self._position = 1

    def tensors(self) -> list[SafeTensor]:
        found: dict[str, SafeTensor] = {}
        seen_metadata = False
        if self._skipped(_END):
            return self._ended(found)
        while True:
            name = self._name()
            if name == _METADATA and not seen_metadata:
                seen_metadata = True
                self._skip_metadata()
            elif name in found or name == _METADATA:
                raise self._broken(f"lists the tensor {name!r} twice")
            elif len(found) == MAX_TENSORS:
                raise self._broken(f"lists more than {MAX_TENSORS} tensors")
            else:
                found[name] = self._tensor(name)
            separator = _NEXT.match(self._header, self._position)
            if separator is None:
                raise self._broken(f"has no sound JSON after the tensor {name!r}")
            self._position = separator.end()
            if separator[1] == b"}":
                return self._ended(found)

    def _ended(self, found: dict[str, SafeTensor]) -> list[SafeTensor]:
        if self._header[self._position :].strip():
            raise self._broken("has text after the end of its header")
        return list(found.values())

    def _name(self) -> str:
        limit = self._position + MAX_NAME_BYTES
        key = _KEY.match(self._header, self._position, limit)
        if key is None:
            raise self._broken(f"has no sound entry at byte {self._position} of its header")
        self._position = key.end()
        return str(self._decoded(key[1], "a tensor name"))

    def _skip_metadata(self) -> None:
        if self._skipped(_END):
            return
        while True:
            pair = _PAIR.match(self._header, self._position)
            if pair is None:
                raise self._broken("has metadata that are not texts")
            self._position = pair.end()
            if pair[1] == b"}":
                return

    def _tensor(self, name: str) -> SafeTensor:
        # No sound entry holds a brace: it is a type name and two lists of numbers.
        limit = self._position + MAX_ENTRY_BYTES
        end = self._header.find(b"}", self._position, limit)
        if end < 0:
            raise self._broken(f"describes the tensor {name!r} at a length that nothing needs")
        text = b"{" + self._header[self._position : end + 1]
        self._position = end + 1
        entry = self._decoded(text, f"the tensor {name!r}")
        if set(entry) != {"dtype", "shape", "data_offsets"}:
            raise self._broken(f"gives the tensor {name!r} other keys than dtype, shape, offsets")
        dtype, offsets = entry["dtype"], self._numbers(name, entry["data_offsets"])
        shape = self._numbers(name, entry["shape"])
        if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
            raise self._broken(f"gives the tensor {name!r} the unknown type {dtype!r}")
        if len(offsets) != 2 or offsets[0] > offsets[1]:
            raise self._broken(f"gives the tensor {name!r} the offsets {offsets}")
        elements = math.prod(shape)
        if elements * DTYPE_BITS[dtype] != 8 * (offsets[1] - offsets[0]):
            size = offsets[1] - offsets[0]
            raise self._broken(f"has {size} bytes for the tensor {name!r}, {dtype} of {shape}")
        return SafeTensor(name, dtype, elements, *offsets)

    def _numbers(self, name: str, values: Any) -> list[int]:
        whole = isinstance(values, list) and all(type(value) is int for value in values)
        if not whole or any(not 0 <= value < 1 << 63 for value in values):
            raise self._broken(f"has no whole numbers in shape and offsets of the tensor {name!r}")
        if len(values) > MAX_DIMENSIONS:
            raise self._broken(f"gives the tensor {name!r} {len(values)} dimensions")
        return list(values)

    def _decoded(self, text: bytes, what: str) -> Any:
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise self._broken(f"has no sound JSON in {what}") from error

    def _skipped(self, pattern: re.Pattern[bytes]) -> bool:
        found = pattern.match(self._header, self._position)
        if found is not None:
            self._position = found.end()
        return found is not None

    def _broken(self, reason: str) -> BrokenFile:
        return BrokenFile(self._path, reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys comes twice: two readers could take it for two things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _without_gaps(path: Path, tensors: list[SafeTensor], data_bytes: int) -> tuple[SafeTensor, ...]:
    """The tensors in the order of the data, which they must cover exactly."""
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.end))
    covered = 0
    for tensor in ordered:
        if tensor.end > data_bytes:
            reason = f"tensor {tensor.name!r} ends at byte {tensor.end} of {data_bytes}"
            raise BrokenFile(path, f"is truncated: {reason}")
        if tensor.start < covered:
            raise BrokenFile(path, f"has the tensor {tensor.name!r} overlap another")
        if tensor.start > covered:
            raise BrokenFile(path, f"has a hole before the tensor {tensor.name!r}")
        covered = tensor.end
    if covered != data_bytes:
        raise BrokenFile(path, f"has {data_bytes - covered} bytes that belong to no tensor")
    return tuple(ordered)
