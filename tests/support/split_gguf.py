"""A GGUF model that is split into several files."""

from __future__ import annotations

from pathlib import Path

from support.model_headers import ARCHITECTURE, TENSOR, gguf_header, padded, pair, u32
from support.model_headers import text as sized


def part(folder: Path, number: int, of: int = 3) -> Path:
    """Part 1 has the metadata alone, the others eight weights each."""
    pairs = [
        ARCHITECTURE,
        pair(b"split.no", 4, u32(number - 1)),
        pair(b"split.count", 4, u32(of)),
    ]
    name = sized(b"t%d" % number) + TENSOR[len(sized(b"t")) :]
    path = folder / f"m-{number:05}-of-{of:05}.gguf"
    path.write_bytes(padded(gguf_header(pairs, [] if number == 1 else [name])))
    return path
