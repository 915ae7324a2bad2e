"""The way of one file: read, check, write the weights, write what describes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from checkpoint.architecture import Architecture, architecture_of
from checkpoint.dtypes import DType
from checkpoint.folder import check_target, whole_folder
from checkpoint.names import Placement, placements_of
from checkpoint.progress import Progress
from checkpoint.source import read_source
from checkpoint.tokenizer import build_tokenizer, tokenizer_config
from checkpoint.vocabulary import Vocabulary, vocabulary_of
from checkpoint.weights import plan_shards, write_weights


@dataclass(frozen=True, slots=True)
class Result:
    """What a conversion wrote."""

    parameters: int
    weight_bytes: int
    files: int
    tokens: int


def convert(
    path: Path, target: Path, dtype: DType, shard_bytes: int, *, replace: bool, progress: TextIO
) -> Result:
    """Makes a checkpoint of a GGUF file.

    Everything that can be refused by the file's header is refused before a weight is read.

    Args:
        path: The GGUF file.
        target: The folder to make.
        dtype: What the weights become.
        shard_bytes: Most bytes of weights in one file, and about what is held in memory.
        replace: Whether a checkpoint that is there already may go.
        progress: Where to tell how far it has come.

    Raises:
        Refused: The file cannot be converted, or the target is taken.
        OSError: The target cannot be written.
    """
    check_target(target, replace=replace)
    source = read_source(path)
    model = architecture_of(source)
    placements = placements_of(source, model)
    vocabulary = vocabulary_of(source, model.vocabulary)
    tokenizer = build_tokenizer(source, vocabulary)
    parameters = sum(placement.weights for placement in placements)
    shards = plan_shards(placements, dtype.item_bytes, shard_bytes)
    shown = Progress(progress, parameters)

    def report(placement: Placement) -> None:
        shown.advance(placement.weights, placement.name)

    with whole_folder(target, replace=replace) as folder:
        try:
            write_weights(source, shards, dtype, folder, report)
        finally:
            shown.close()
        tokenizer.save(str(folder / "tokenizer.json"))
        _describe(model, vocabulary, dtype, folder)
    return Result(parameters, parameters * dtype.item_bytes, len(shards), vocabulary.used)


def _describe(model: Architecture, vocabulary: Vocabulary, dtype: DType, folder: Path) -> None:
    ids = {
        "bos_token_id": vocabulary.bos,
        "eos_token_id": list(vocabulary.ends) or None,
        "pad_token_id": vocabulary.padding,
    }
    named = {name: token for name, token in ids.items() if token is not None}
    config = {**model.config(), **ids, "eos_token_id": vocabulary.eos, "torch_dtype": dtype.name}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", named)
    _write_json(folder / "tokenizer_config.json", tokenizer_config(vocabulary, model.context))
    if vocabulary.chat_template is not None:
        template = folder / "chat_template.jinja"
        template.write_text(vocabulary.chat_template, encoding="utf-8", newline="")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
