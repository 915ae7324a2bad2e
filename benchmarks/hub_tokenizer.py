"""The tokenizer of a GGUF file as programs read it that take theirs from Hugging Face's hub."""

from __future__ import annotations

import json
from pathlib import Path

from checkpoint.source import read_source
from checkpoint.tokenizer import build_tokenizer, tokenizer_config
from checkpoint.vocabulary import vocabulary_of
from tokenizers import Tokenizer

_CONTEXT = 2048


def write_tokenizer(model: Path, folder: Path) -> Tokenizer:
    """Writes it into a folder, which is made."""
    source = read_source(model)
    vocabulary = vocabulary_of(source, len(source.strings("tokenizer.ggml.tokens")))
    tokenizer = build_tokenizer(source, vocabulary)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.dumps(tokenizer_config(vocabulary, _CONTEXT))
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")
    return tokenizer
