"""Facts about a GGUF model, read from its header alone; no weight is loaded.

Key names: the GGUF specification, ggml ``docs/gguf.md``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quorate_registry.errors import BrokenFile
from quorate_registry.ggml_types import FILE_TYPES
from quorate_registry.gguf_layout import Array, Layout, Tensor, Value, read_layout
from quorate_registry.shards import parts

_F16_BYTES = 2
_F32_BYTES = 4
_PREFILL_BATCH_TOKENS = 512
_PROCESS_BYTES = 48 * 1024 * 1024
_MAX_LAYERS = 1 << 12
_MAX_SCALING = 1e6


@dataclass(frozen=True)
class GgufFacts:
    """What a GGUF header says about its model; 0 or None where it says nothing.

    Attributes:
        path: the file.
        architecture: ``general.architecture``, such as ``llama``.
        name: ``general.name``, or the file's stem.
        quantisation: such as ``Q4_K_M``.
        parameters: number of weights in all tensors.
        context_length: longest context the model was trained for, in tokens.
        scaled_context_length: the same, or what its own RoPE scaling reaches where that is more.
        layers: number of transformer blocks.
        embedding_length: width of the residual stream.
        heads: attention heads of the widest layer.
        kv_heads: key-value heads of the widest layer.
        kv_bytes_per_token: KV cache of one token in all layers, at 16 bits per value.
        vocabulary_size: number of tokens.
        tokenizer: ``tokenizer.ggml.model``, such as ``gpt2`` or ``llama``.
        first_tokens: digest of the first tokens of the vocabulary: models in which it differs have
            different ones; models in which it is equal may differ in what comes after, such as
            special tokens. "" for a model without a vocabulary.
        chat_template: Jinja source, or None for a model without one.
        file_bytes: size of the file, or of all files of a model that is split.
        tensor_bytes: size of the weights in them.
        files: these files, the first of them ``path``.
    """

    path: Path
    architecture: str
    name: str
    quantisation: str
    parameters: int
    context_length: int
    scaled_context_length: int
    layers: int
    embedding_length: int
    heads: int
    kv_heads: int
    kv_bytes_per_token: int
    vocabulary_size: int
    tokenizer: str
    first_tokens: str
    chat_template: str | None
    file_bytes: int
    tensor_bytes: int
    files: tuple[Path, ...]

    def memory_estimate(self, context_tokens: int) -> int:
        """Bytes one process needs to run this model with room for `context_tokens` tokens.

        Those are the tokens of all sessions together. The sum of

        - the weights, ``tensor_bytes``, all of them resident;
        - the KV cache, ``context_tokens * kv_bytes_per_token``, where the latter is
          2 bytes * sum over layers of KV heads * (key width + value width); an upper bound for
          models with sliding windows;
        - the compute buffer of one prefill batch in float32,
          512 * (vocabulary + 4 * embedding width) * 4 bytes;
        - 48 MiB for the process itself.
        """
        kv_cache = max(context_tokens, 0) * self.kv_bytes_per_token
        row = self.vocabulary_size + 4 * self.embedding_length
        compute = _PREFILL_BATCH_TOKENS * row * _F32_BYTES
        return self.tensor_bytes + kv_cache + compute + _PROCESS_BYTES


def read_facts(path: Path) -> GgufFacts:
    """Read the facts of a GGUF file; of a model that is split, by its first file, of them all.

    Raises:
        BrokenFile: a file cannot be read, is not GGUF, or contradicts itself; or a part is missing.
    """
    layout = read_layout(path)
    files = parts(path, layout.metadata)
    others = [read_layout(part) for part in files[1:]]
    keys = _Keys(path, layout.metadata)
    architecture = keys.text("general.architecture")
    if not architecture:
        raise BrokenFile(path, "does not name its architecture (general.architecture)")
    layouts = [layout, *others]
    if not any(one.tensors for one in layouts):
        raise BrokenFile(path, "holds no tensors: it is a vocabulary, not a model")
    return _facts(files, architecture, layouts, keys)


def _facts(
    files: Sequence[Path], architecture: str, layouts: Sequence[Layout], keys: _Keys
) -> GgufFacts:
    path = files[0]
    tensors = tuple(tensor for layout in layouts for tensor in layout.tensors)
    layers = keys.number(f"{architecture}.block_count")
    if layers > _MAX_LAYERS:
        raise BrokenFile(path, f"claims {layers} layers")
    width = keys.number(f"{architecture}.embedding_length")
    heads = keys.per_layer(f"{architecture}.attention.head_count", layers)
    kv_heads = keys.per_layer(f"{architecture}.attention.head_count_kv", layers) or heads
    head_width = width // max(max(heads, default=0), 1)
    key_width = keys.number(f"{architecture}.attention.key_length", head_width)
    value_width = keys.number(f"{architecture}.attention.value_length", head_width)
    return GgufFacts(
        path=path,
        architecture=architecture,
        name=keys.text("general.name") or path.stem,
        quantisation=_quantisation(keys.number("general.file_type", -1), tensors),
        parameters=sum(tensor.elements for tensor in tensors),
        context_length=keys.number(f"{architecture}.context_length"),
        scaled_context_length=_scaled_context(keys, architecture),
        layers=layers,
        embedding_length=width,
        heads=max(heads, default=0),
        kv_heads=max(kv_heads, default=0),
        kv_bytes_per_token=_F16_BYTES * sum(kv_heads) * (key_width + value_width),
        vocabulary_size=keys.length("tokenizer.ggml.tokens")
        or keys.number(f"{architecture}.vocab_size"),
        tokenizer=keys.text("tokenizer.ggml.model"),
        first_tokens=keys.digest("tokenizer.ggml.tokens"),
        chat_template=keys.text("tokenizer.chat_template") or None,
        file_bytes=sum(layout.size_bytes for layout in layouts),
        tensor_bytes=sum(tensor.size_bytes for tensor in tensors),
        files=tuple(files),
    )


def _scaled_context(keys: _Keys, architecture: str) -> int:
    """What the model's own RoPE scaling reaches, by the rules of llama.cpp's converter."""
    trained = keys.number(f"{architecture}.context_length")
    if keys.text(f"{architecture}.rope.scaling.type") in ("", "none"):
        return trained
    original = keys.number(f"{architecture}.rope.scaling.original_context_length")
    return max(trained, int(original * keys.real(f"{architecture}.rope.scaling.factor")))


def _quantisation(file_type: int, tensors: tuple[Tensor, ...]) -> str:
    if file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    bytes_by_kind: Counter[str] = Counter()
    for tensor in tensors:
        bytes_by_kind[tensor.kind] += tensor.size_bytes
    return bytes_by_kind.most_common(1)[0][0]


class _Keys:
    """Typed look-ups; a value of another type than its key demands makes the file broken."""

    def __init__(self, path: Path, metadata: dict[str, Value]) -> None:
        self._path = path
        self._metadata = metadata

    def text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        if not isinstance(value, str):
            raise BrokenFile(self._path, f"has no text in {key}")
        return value

    def number(self, key: str, default: int = 0) -> int:
        if key not in self._metadata:
            return default
        return self._whole(key, self._metadata[key])

    def real(self, key: str) -> float:
        value = self._metadata.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BrokenFile(self._path, f"has no number in {key}")
        return float(value) if math.isfinite(value) and 0 <= value < _MAX_SCALING else 0.0

    def digest(self, key: str) -> str:
        value = self._metadata.get(key)
        return value.digest if isinstance(value, Array) else ""

    def per_layer(self, key: str, layers: int) -> tuple[int, ...]:
        value = self._metadata.get(key)
        if value is None:
            return ()
        if isinstance(value, Array):
            return tuple(self._whole(key, item) for item in value.values)
        return (self._whole(key, value),) * layers

    def length(self, key: str) -> int:
        value = self._metadata.get(key, Array(0))
        if not isinstance(value, Array):
            raise BrokenFile(self._path, f"has no array in {key}")
        return value.count

    def _whole(self, key: str, value: Value) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BrokenFile(self._path, f"has no whole number in {key}")
        return value
