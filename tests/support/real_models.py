"""The real models and tokenizers of ``scripts/fetch_models``, where they lie on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fetching.catalogue import default_folder, read_catalogue

QWEN_SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
QWEN_LARGE = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
GEMMA = "gemma-3-270m-q4_k_m.gguf"


def real_model(name: str) -> Path:
    """The file of a model; skips the test where it was not fetched."""
    known = {model.name: model for model in read_catalogue().models}
    path = default_folder() / name
    # The script has compared the hash; a file of another size is half of one.
    if not path.exists() or path.stat().st_size != known[name].size:
        pytest.skip(f"{name} is not in {path.parent}: scripts/fetch_models")
    return path


def tokenizer_folder(family: str) -> Path:
    """``tokenizer.json`` and ``tokenizer_config.json`` of a family; skips where they are absent."""
    path = default_folder() / "tokenizers" / family
    if not path.is_dir():
        pytest.skip(f"{family} is not in {path.parent}: scripts/fetch_models --tokenizers")
    return path


@contextmanager
def reference(path: Path, context: int = 1024) -> Iterator[Any]:
    """The same file in llama-cpp-python, driven by its own code: one thread, greedy if asked so."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=context, n_threads=1, n_threads_batch=1, verbose=False)
    try:
        yield model
    finally:
        model.close()


def greedy(model: Any, tokens: list[int], count: int) -> str:
    """What a reference continues tokens with: the best token each time, at most ``count``."""
    done = model.create_completion(tokens, max_tokens=count, temperature=0.0, repeat_penalty=1.0)
    text: str = done["choices"][0]["text"]
    return text
