"""GGUF files with another tokenizer's rules, made from a real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.gguf_files import finish

PRE_TOKENIZER = "tokenizer.ggml.pre"
# What llama.cpp splits with the C++ library's regular expressions, and what with code of its own.
PRE_TOKENIZERS = ("gpt-4o", "tekken", "deepseek-v3", "default", "qwen2", "llama-bpe", "gpt-2")


def vocabulary_of(source: Path, target: Path, pre: str) -> Path:
    """Writes a file that has a model's vocabulary under another pre-tokenizer, and no weights."""
    return _rewritten(source, target, {PRE_TOKENIZER: pre}, weights=False)


def with_metadata(source: Path, target: Path, **changed: str) -> Path:
    """Writes a model anew with other texts in its metadata; ``__`` in a name stands for a dot."""
    return _rewritten(source, target, {name.replace("__", "."): changed[name] for name in changed})


def _rewritten(
    source: Path, target: Path, changed: Mapping[str, Any], weights: bool = True
) -> Path:
    # Imported here: tests of other engines need no GGUF library.
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or name in changed:
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=item)
    for name, text in changed.items():
        writer.add_key_value(name, text, GGUFValueType.STRING)
    for tensor in reader.tensors if weights else ():
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    finish(writer)
    return target
