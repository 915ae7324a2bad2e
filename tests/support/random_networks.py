"""Small networks of random weights with the vocabulary of a real model, kept once made."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from quorate_bench.growth import networks


def random_network(
    tokenizer: Path, pre: str | None, *, seed: int = 0, cache: Path | None = None
) -> Path:
    """The GGUF file of a network with this tokenizer, made where there is none.

    Args:
        tokenizer: Folder of ``tokenizer.json`` and ``tokenizer_config.json``.
        pre: llama.cpp's name of the pre-tokenizer; None makes a SentencePiece vocabulary.
        seed: Of the weights.
        cache: Where it is kept; by default in the user's cache.
    """
    version = hashlib.sha256(Path(networks.__file__).read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        version.update((tokenizer / name).read_bytes())
    version.update(f"{pre} {seed}".encode())
    folder = cache or _cache()
    path = folder / f"{tokenizer.name}-{version.hexdigest()[:16]}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        networks.write_network(unfinished, tokenizer, pre, seed)
        unfinished.replace(path)
    return path


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "quorate-tests" / "random-networks"
