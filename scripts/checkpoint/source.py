"""A GGUF file: metadata by key with checked types, and tensors by name.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np
import numpy.typing as npt

from checkpoint.errors import Refused

Floats = npt.NDArray[np.float32]
_Value = TypeVar("_Value")

# What the reader raises on files that are cut short, overwritten or something else: it trusts every
# length and every offset.
_BROKEN = (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the file has it.

    Attributes:
        shape: Rows first, as numpy and PyTorch count.
        kind: Name of its quantisation, such as ``Q4_1``.
        data: Packed content, mapped from the file.
        quantisation: The library's number for `kind`.
    """

    shape: tuple[int, ...]
    kind: str
    data: npt.NDArray[Any]
    quantisation: int


@dataclass(frozen=True, slots=True)
class Source:
    """An open GGUF file."""

    path: Path
    metadata: Mapping[str, object]
    tensors: Mapping[str, StoredTensor]

    def find(self, key: str, kind: type[_Value], default: _Value | None = None) -> _Value | None:
        """A metadata value, or the default where the file has none.

        Raises:
            Refused: The value is of another type.
        """
        value = self.metadata.get(key)
        if value is None:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return kind(value)  # type: ignore[call-arg]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Refused(f"{self.path}: {key} is {_short(value)}, which is no {kind.__name__}")
        return value

    def get(self, key: str, kind: type[_Value]) -> _Value:
        """A metadata value that must be there.

        Raises:
            Refused: It is missing or of another type.
        """
        value = self.find(key, kind)
        if value is None:
            raise Refused(f"{self.path}: {key} is missing from its metadata")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings that must be there."""
        values = self.get(key, list)
        if not all(isinstance(value, str) for value in values):
            raise Refused(f"{self.path}: {key} is not a list of strings")
        return values

    def dequantise(self, name: str) -> Floats:
        """A tensor's weights, in a new array.

        Raises:
            Refused: The library knows the quantisation by name only.
        """
        tensor = self.tensors[name]
        kind = gguf.GGMLQuantizationType(tensor.quantisation)
        try:
            weights = gguf.dequantize(tensor.data, kind)
        except NotImplementedError as error:
            raise Refused(
                f"{self.path}: {name} is stored as {tensor.kind}, which cannot be dequantised"
            ) from error
        return np.array(weights, dtype=np.float32).reshape(tensor.shape)


def read_source(path: Path) -> Source:
    """Opens a GGUF file; weights stay on disk until asked for.

    Raises:
        Refused: It is missing, unreadable, cut short, broken or something else.
    """
    _check_beginning(path)
    try:
        reader = gguf.GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {
            str(tensor.name): StoredTensor(
                shape=tuple(int(size) for size in reversed(tensor.shape)),
                kind=tensor.tensor_type.name,
                data=tensor.data,
                quantisation=int(tensor.tensor_type),
            )
            for tensor in reader.tensors
        }
    except _BROKEN as error:
        raise Refused(f"{path} is broken or cut short: {_reason(error)}") from error
    if reader.endianess != gguf.GGUFEndian.LITTLE:
        raise Refused(f"{path} is a big-endian GGUF file; only little-endian ones can be converted")
    return Source(path, metadata, tensors)


def _check_beginning(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
    if not magic:
        raise Refused(f"{path} is empty")
    if magic != b"GGUF":
        raise Refused(f"{path} is not a GGUF file: it starts with {magic!r}")


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
