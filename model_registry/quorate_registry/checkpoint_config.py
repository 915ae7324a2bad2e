"""What ``config.json`` of a checkpoint says, under the several names that model families use.

Key names: the configuration classes of ``transformers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate_registry.errors import BrokenFile
from quorate_registry.untrusted import read_object

CONFIG_NAME = "config.json"

_MAX_CONFIG_BYTES = 1 << 22
_MAX_LAYERS = 1 << 12
_MAX_NUMBER = 1 << 40
_KV_BYTES = 2
"""Bytes of a value in the KV cache at 16 bits."""

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
_OWN_CACHE = (
    "kv_lora_rank",
    "layers_block_type",
    "hybrid_override_pattern",
    "attn_layer_period",
    "block_configs",
    "ssm_cfg",
    "state_size",
)
"""Keys of models whose cache is laid out otherwise: latent attention, state spaces, hybrids."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What a configuration says about its model; 0, "" or None where it says nothing.

    Attributes:
        architecture: first of ``architectures``, such as ``LlamaForCausalLM``.
        quantisation: ``quant_method``, such as ``awq``; "" for weights as they were trained.
        context_length: longest context, in tokens.
        layers: number of transformer blocks.
        embedding_length: width of the residual stream.
        heads: attention heads.
        kv_heads: key-value heads; fewer than `heads` with grouped queries.
        head_size: width of one head.
        vocabulary_size: number of tokens, padding included.
        kv_bytes_per_token: KV cache of one token in all layers, at 16 bits per value; None where
            the cache is of another kind, or the configuration does not say enough.
    """

    architecture: str
    quantisation: str
    context_length: int
    layers: int
    embedding_length: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary_size: int
    kv_bytes_per_token: int | None


def read_config(path: Path) -> CheckpointConfig:
    """Read the configuration of a checkpoint.

    Raises:
        BrokenFile: the file cannot be read, names no architecture, or holds impossible numbers.
    """
    document = read_object(path, _MAX_CONFIG_BYTES)
    names = document.get("architectures")
    architecture = names[0] if isinstance(names, list) and names else None
    if not isinstance(architecture, str) or not architecture:
        raise BrokenFile(path, "does not name its architecture (architectures)")
    keys = _Keys(path, _text_model(document))
    layers, heads, width = keys.number(_LAYERS), keys.number(_HEADS), keys.number(_WIDTH)
    if layers > _MAX_LAYERS:
        raise BrokenFile(path, f"claims {layers} layers")
    kv_heads = keys.number(_KV_HEADS) or (1 if keys.flag("multi_query") else heads)
    head_size = keys.number(("head_dim",)) or (width // heads if heads else 0)
    per_layer = 2 * kv_heads * head_size * _KV_BYTES
    cached = keys.cached_layers(layers)
    return CheckpointConfig(
        architecture=architecture,
        quantisation=_quantisation(document),
        context_length=keys.number(_CONTEXT),
        layers=layers,
        embedding_length=width,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        vocabulary_size=keys.number(("vocab_size",)),
        kv_bytes_per_token=None if cached is None else cached * per_layer or None,
    )


def _text_model(document: dict[str, Any]) -> Mapping[str, Any]:
    """The part about the language model; models that see or hear have one of their own."""
    inner = document.get("text_config")
    if isinstance(inner, dict) and not any(key in document for key in _LAYERS):
        return {**document, **inner}
    return document


def _quantisation(document: Mapping[str, Any]) -> str:
    table = document.get("quantization_config") or document.get("compression_config")
    if not isinstance(table, dict):
        return ""
    method = table.get("quant_method")
    return method if isinstance(method, str) and method else "unknown"


class _Keys:
    """Look-ups under several names; a value that no model can have makes the file broken."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values

    def number(self, names: tuple[str, ...]) -> int:
        for name in names:
            value = self._values.get(name)
            # A list has a value for each layer: there is no one number to tell.
            if value is None or isinstance(value, list):
                continue
            if type(value) is not int or not 0 <= value < _MAX_NUMBER:
                raise BrokenFile(self._path, f"has no believable number in {name}")
            return value
        return 0

    def flag(self, name: str) -> bool:
        return self._values.get(name) is True

    def cached_layers(self, layers: int) -> int | None:
        """Layers that keep keys and values; None where that is another kind of cache."""
        own = any(self._values.get(key) is not None for key in _OWN_CACHE)
        uneven = any(isinstance(self._values.get(key), list) for key in (*_KV_HEADS, *_HEADS))
        state = any(key.startswith(("mamba_", "ssm_", "linear_")) for key in self._values)
        if own or uneven or state or self.flag("is_encoder_decoder"):
            return None
        kinds = self._values.get("layer_types")
        if isinstance(kinds, list) and any(kind not in _ATTENTION for kind in kinds):
            return None
        return layers
