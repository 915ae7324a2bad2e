"""Tiny models of random weights, written key by key, so that any of it can be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from support.gguf_files import finish

WIDTH, INNER, HEADS, CONTEXT = 32, 48, 4, 256
END = "<|endoftext|>"
_MERGES = ("1 2", "12 3", "Ġ Ġ", "i n", "t h", "th e", "Ġ the", "ĠĠ ĠĠ", "Ċ Ċ", "2 3")


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    letters = {value: chr(value) for value in printable}
    letters |= {value: chr(256 + place) for place, value in enumerate(others)}
    return [letters[value] for value in range(256)]


def tokens() -> list[str]:
    """The vocabulary: bytes, merged ones, and the end."""
    return [*byte_letters(), *(merge.replace(" ", "") for merge in _MERGES), END]


def tiny_tensors(seed: int = 7) -> dict[str, npt.NDArray[np.float32]]:
    """One layer of Llama's network."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(scale=0.4, size=shape).astype(np.float32)

    one = np.ones(WIDTH, np.float32)
    square = ("attn_q", "attn_k", "attn_v", "attn_output")
    return {
        "token_embd.weight": weights(len(tokens()), WIDTH),
        "output_norm.weight": one,
        "blk.0.attn_norm.weight": one,
        "blk.0.ffn_norm.weight": one,
        **{f"blk.0.{name}.weight": weights(WIDTH, WIDTH) for name in square},
        "blk.0.ffn_gate.weight": weights(INNER, WIDTH),
        "blk.0.ffn_up.weight": weights(INNER, WIDTH),
        "blk.0.ffn_down.weight": weights(WIDTH, INNER),
    }


def tiny_metadata(architecture: str = "llama") -> dict[str, Any]:
    """What ``tiny_model`` writes beside ``general.architecture``."""
    sizes = {
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "block_count": 1,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10_000.0,
    }
    end = len(tokens()) - 1
    return {
        **{f"{architecture}.{name}": value for name, value in sizes.items()},
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens(),
        "tokenizer.ggml.token_type": [1] * end + [3],
        "tokenizer.ggml.merges": list(_MERGES),
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.add_bos_token": False,
    }


def tiny_model(
    path: Path,
    *,
    architecture: str = "llama",
    changed: Mapping[str, Any] | None = None,
    tensors: Mapping[str, npt.NDArray[np.float32]] | None = None,
) -> Path:
    """Writes a model that loads, unless it is changed.

    Args:
        path: The file.
        architecture: Its ``general.architecture``.
        changed: Metadata that are other ones; None leaves a key out.
        tensors: The tensors, instead of ``tiny_tensors``.
    """
    # Imported here: tests of other engines need no GGUF library.
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    for key, value in {**tiny_metadata(architecture), **(changed or {})}.items():
        _add(writer, key, value)
    for name, tensor in (tiny_tensors() if tensors is None else tensors).items():
        writer.add_tensor(name, tensor)
    finish(writer)
    return path


def _add(writer: Any, key: str, value: Any) -> None:
    match value:
        case None:
            pass
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def tiny_bert(path: Path) -> Path:
    """Writes an encoder that llama.cpp loads and computes nothing to vote with."""
    one, zero = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    random = np.random.default_rng(3)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123))]

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(scale=0.4, size=shape).astype(np.float32)

    tensors = {
        "token_embd.weight": weights(len(words), WIDTH),
        "token_types.weight": weights(2, WIDTH),
        "position_embd.weight": weights(CONTEXT, WIDTH),
        "token_embd_norm.weight": one,
        "token_embd_norm.bias": zero,
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_down", "ffn_up"):
        into, out = {"ffn_down": (INNER, WIDTH), "ffn_up": (WIDTH, INNER)}.get(name, (WIDTH, WIDTH))
        tensors[f"blk.0.{name}.weight"] = weights(out, into)
        tensors[f"blk.0.{name}.bias"] = np.zeros(out, np.float32)
    for name in ("attn_output_norm", "layer_output_norm"):
        tensors[f"blk.0.{name}.weight"], tensors[f"blk.0.{name}.bias"] = one, zero
    changed = {
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": None,
        "tokenizer.ggml.merges": None,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3] * 5 + [1] * 26,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 4,
    }
    return tiny_model(path, architecture="bert", changed=changed, tensors=tensors)
