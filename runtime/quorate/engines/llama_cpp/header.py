"""A look at a GGUF file's first bytes, so that a wrong file is refused in plain words.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only what the native loader
explains badly, or might trip over, is checked here.
"""

from __future__ import annotations

import os
import struct

from quorate.errors import ModelUnusable

_HEADER = struct.Struct("<4sIQQ")
# An empty key, its type and a one-byte value; an unnamed tensor without dimensions.
_SMALLEST_PAIR = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 4 + 8


def check_header(path: str, subject: str) -> None:
    """Refuses what cannot be a GGUF file.

    Raises:
        ModelUnusable: The file is missing, unreadable, empty, cut short or something else.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ModelUnusable(subject, f"cannot read {path}: {error.strerror}") from error
    if not data:
        raise ModelUnusable(subject, f"{path} is empty")
    if not data.startswith(b"GGUF"):
        raise ModelUnusable(subject, f"{path} is not a GGUF file: it starts with {data[:4]!r}")
    if len(data) < _HEADER.size:
        raise ModelUnusable(subject, f"{path} is truncated: its header is incomplete")
    _, _, tensors, pairs = _HEADER.unpack(data)
    if tensors * _SMALLEST_TENSOR + pairs * _SMALLEST_PAIR > size:
        raise ModelUnusable(
            subject,
            f"{path} is corrupt: its header claims {tensors} tensors and {pairs} metadata keys, "
            f"more than its {size} bytes can hold",
        )
