"""GGUF files with another pre-tokenizer, made from a real one."""

from __future__ import annotations

import struct
from pathlib import Path

_KEY = b"tokenizer.ggml.pre"
_STRING = 8
# As long as SmolLM2's own, so that nothing in the file moves. llama.cpp splits words for the first
# two with the C++ library's regular expressions alone.
PRE_TOKENIZERS = ("gpt-4o", "tekken", "falcon", "viking")


def with_pre_tokenizer(source: Path, folder: Path, pre: str) -> Path:
    """Writes a model anew under another pre-tokenizer, whose name is as long as its own."""
    target = folder / f"{source.stem}.{pre}.gguf"
    data = source.read_bytes()
    prefix = _KEY + struct.pack("<IQ", _STRING, len(pre))
    at = data.index(prefix) + len(prefix)
    target.write_bytes(data[:at] + pre.encode() + data[at + len(pre) :])
    return target
