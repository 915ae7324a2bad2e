"""A file of weights that mean nothing, in all the layouts that llama.cpp repacks for AMX.

Written by hand, since the library that may crash must not be needed for it. Format: ggml's
``docs/gguf.md``; blocks of the quantisations: ``ggml-common.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VOCABULARY, WIDTH = 512, 256
_INNER, _HEADS, _CONTEXT = 512, 4, 256
_ALIGNMENT = 32
_F32, _UINT32, _FLOAT32, _STRING = 0, 4, 6, 8


@dataclass(frozen=True)
class _Layout:
    """How one quantisation stores a block of weights.

    Attributes:
        ggml_type: Its number in ``ggml_type``.
        weights: Weights of a block.
        size: Bytes of a block. Any bytes are valid but for its factors.
        factors: Float16 numbers by their place, such that weights are about 1/16: the products of
            a layer then have the size of what went in.
    """

    ggml_type: int
    weights: int
    size: int
    factors: tuple[tuple[int, float], ...]


_LAYOUTS = (
    _Layout(2, 32, 18, ((0, 0.0133),)),  # Q4_0
    _Layout(3, 32, 20, ((0, 0.0133), (2, -0.1))),  # Q4_1
    _Layout(8, 32, 34, ((0, 0.00083),)),  # Q8_0
    _Layout(12, 256, 144, ((0, 0.0002), (2, 0.0015))),  # Q4_K
    _Layout(13, 256, 176, ((0, 0.0001), (2, 0.00155))),  # Q5_K
    _Layout(14, 256, 210, ((208, 0.0001),)),  # Q6_K
    _Layout(23, 256, 136, ((0, 0.0001),)),  # IQ4_XS
)
"""One layer of the network has each."""

_OUTPUT = _LAYOUTS[5]


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    ggml_type: int
    data: bytes


def trial_model() -> bytes:
    """A whole GGUF file of a Llama without a vocabulary; the same bytes every time."""
    random = np.random.default_rng(14)
    tensors = list(_tensors(random))
    values = [*_metadata()]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(values)) + b"".join(values)
    offset = 0
    for tensor in tensors:
        head += _text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
        head += struct.pack("<IQ", tensor.ggml_type, offset)
        offset += len(_padded(tensor.data))
    return _padded(head) + b"".join(_padded(tensor.data) for tensor in tensors)


def _metadata() -> Iterator[bytes]:
    yield _text("general.architecture") + struct.pack("<I", _STRING) + _text("llama")
    yield _text("tokenizer.ggml.model") + struct.pack("<I", _STRING) + _text("no_vocab")
    numbers = {
        "vocab_size": VOCABULARY,
        "context_length": _CONTEXT,
        "embedding_length": WIDTH,
        "block_count": len(_LAYOUTS),
        "feed_forward_length": _INNER,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": _HEADS,
    }
    for name, number in numbers.items():
        yield _text(f"llama.{name}") + struct.pack("<II", _UINT32, number)
    epsilon = struct.pack("<If", _FLOAT32, 1e-5)
    yield _text("llama.attention.layer_norm_rms_epsilon") + epsilon


def _tensors(random: np.random.Generator) -> Iterator[_Tensor]:
    embedding = random.standard_normal((VOCABULARY, WIDTH)).astype("<f4")
    ones = np.ones(WIDTH, "<f4").tobytes()
    yield _Tensor("token_embd.weight", (WIDTH, VOCABULARY), _F32, embedding.tobytes())
    yield _Tensor("output_norm.weight", (WIDTH,), _F32, ones)
    yield _quantised("output", WIDTH, VOCABULARY, _OUTPUT, random)
    for number, layout in enumerate(_LAYOUTS):
        for name in ("attn_norm", "ffn_norm"):
            yield _Tensor(f"blk.{number}.{name}.weight", (WIDTH,), _F32, ones)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield _quantised(f"blk.{number}.{name}", WIDTH, WIDTH, layout, random)
        for name in ("ffn_gate", "ffn_up"):
            yield _quantised(f"blk.{number}.{name}", WIDTH, _INNER, layout, random)
        yield _quantised(f"blk.{number}.ffn_down", _INNER, WIDTH, layout, random)


def _quantised(
    name: str, into: int, out: int, layout: _Layout, random: np.random.Generator
) -> _Tensor:
    blocks: npt.NDArray[np.uint8] = random.integers(
        0, 256, (into * out // layout.weights, layout.size), np.uint8
    )
    for place, factor in layout.factors:
        blocks[:, place : place + 2] = np.frombuffer(np.float16(factor).tobytes(), np.uint8)
    return _Tensor(f"{name}.weight", (into, out), layout.ggml_type, blocks.tobytes())


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def trial_prompt() -> Sequence[int]:
    """Tokens of one call that is more than a tile has rows, and an odd number of them."""
    return [(7 * position) % VOCABULARY for position in range(45)]
