"""How much memory a KV cache takes, told before it is allocated."""

from __future__ import annotations

import ctypes
import os

from llama_cpp import llama_cpp as native

from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.errors import ModelUnusable

_VALUE_BYTES = 256
# Bytes of one number in the KV cache; q8_0 stores 32 numbers and their scale in 34 bytes.
_KV_NUMBER_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}


def check_kv_cache(
    weights: ctypes.c_void_p, options: LlamaCppOptions, kv_tokens: int, subject: str
) -> None:
    """Refuses a KV cache larger than all memory, which the system might promise all the same.

    Raises:
        ModelUnusable: It can never fit. Builds for GPUs are not checked, where it may lie there.
    """
    if native.llama_supports_gpu_offload():
        return
    wanted = kv_cache_bytes(weights, options, kv_tokens)
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if wanted > present:
        raise ModelUnusable(
            subject,
            f"{kv_tokens} KV cells take {wanted / 1e9:.1f} GB and this machine has "
            f"{present / 1e9:.1f} GB; set cells or context_length lower",
        )


def kv_cache_bytes(weights: ctypes.c_void_p, options: LlamaCppOptions, kv_tokens: int) -> int:
    """Estimate: as if every layer attended with the same number of heads."""
    architecture = metadata(weights, "general.architecture")
    head = native.llama_model_n_embd(weights) // max(native.llama_model_n_head(weights), 1)
    key = int(metadata(weights, f"{architecture}.attention.key_length") or head)
    value = int(metadata(weights, f"{architecture}.attention.value_length") or head)
    heads = native.llama_model_n_layer(weights) * native.llama_model_n_head_kv(weights)
    per_head = (
        key * _KV_NUMBER_BYTES[options.kv_type_k] + value * _KV_NUMBER_BYTES[options.kv_type_v]
    )
    return int(kv_tokens * heads * per_head)


def metadata(weights: ctypes.c_void_p, key: str) -> str:
    """The value of a metadata key as text, or "" where the model has none."""
    buffer = ctypes.create_string_buffer(_VALUE_BYTES)
    native.llama_model_meta_val_str(weights, key.encode(), buffer, _VALUE_BYTES)
    return buffer.value.decode("utf-8", errors="replace")
