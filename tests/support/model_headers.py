"""Headers of model files, made byte by byte, and what a reader has against them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.errors import BrokenFile


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: bytes) -> bytes:
    return u64(len(value)) + value


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    """An entry of GGUF metadata."""
    return text(key) + u32(kind) + value


ARCHITECTURE = pair(b"general.architecture", 8, text(b"llama"))
TENSOR = text(b"t") + u32(1) + u64(8) + u32(0) + u64(0)
"""Eight float32 weights."""


def gguf_header(pairs: Sequence[bytes], tensors: Sequence[bytes], version: int = 3) -> bytes:
    body = b"".join(pairs) + b"".join(tensors)
    return b"GGUF" + u32(version) + u64(len(tensors)) + u64(len(pairs)) + body


def padded(head: bytes, data: bytes = bytes(32)) -> bytes:
    """A GGUF file of a header and its data."""
    return head + bytes(-len(head) % 32) + data


def wrapped(header: bytes, data: bytes = b"") -> bytes:
    """A safetensors file of any header and its data."""
    return len(header).to_bytes(8, "little") + header + data


def safetensors_file(entries: Mapping[str, Any], data: bytes = bytes(8)) -> bytes:
    return wrapped(json.dumps(entries).encode(), data)


def refusal(read: Callable[[Path], object], path: Path) -> BrokenFile:
    """Why a reader refuses a file or folder, in one line that names it."""
    with pytest.raises(BrokenFile) as caught:
        read(path)
    assert caught.value.path.is_relative_to(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value
