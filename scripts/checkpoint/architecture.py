"""The facts of a llama model, and the ``config.json`` they make.

Where the Hugging Face class cannot compute what llama.cpp would compute from the same file, the
file is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from checkpoint.errors import Refused
from checkpoint.rope import Llama3Scaling, scaling_of
from checkpoint.source import Source

ARCHITECTURE = "llama"
# What other members of the family have and LlamaForCausalLM has not; zero or false means absent.
_FOREIGN = ("expert_count", "attention.scale", "logit_scale", "residual_scale", "embedding_scale")
_ATTENTION_BIASES = ("attn_q", "attn_k", "attn_v", "attn_output")
_MLP_BIASES = ("ffn_gate", "ffn_up", "ffn_down")
_DEFAULT_ROPE_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a llama model.

    Attributes:
        vocabulary: Rows of the embedding matrix.
        width: Of the residual stream.
        hidden: Width of the feed-forward layers.
        epsilon: Of the RMS norms.
        rope_theta: Base of the rotary frequencies.
        rope_scaling: How they are stretched, or None.
        tied: Whether the output matrix is the embedding matrix.
        attention_bias: Whether all four matrices of the attention have biases.
        mlp_bias: Whether all three matrices of the feed-forward layers have biases.
    """

    vocabulary: int
    context: int
    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    epsilon: float
    rope_theta: float
    rope_scaling: Llama3Scaling | None
    tied: bool
    attention_bias: bool
    mlp_bias: bool

    def config(self) -> dict[str, object]:
        """``config.json`` without what the vocabulary and the type of the weights add."""
        config: dict[str, object] = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "hidden_act": "silu",
            "rms_norm_eps": self.epsilon,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
        }
        if self.head_width * self.heads != self.width:
            config["head_dim"] = self.head_width
        if self.rope_scaling is not None:
            config["rope_scaling"] = self.rope_scaling.config()
        return config


def architecture_of(source: Source) -> Architecture:
    """Reads the sizes of a model.

    Raises:
        Refused: It is of another architecture, or has what the Hugging Face class lacks.
    """
    _check_kind(source)
    width, heads = _size(source, "embedding_length"), _size(source, "attention.head_count")
    kv_heads = _size(source, "attention.head_count_kv", heads)
    head_width = _head_width(source, width, heads)
    if heads % kv_heads:
        raise Refused(f"{source.path}: {heads} heads cannot share {kv_heads} key-value heads")
    theta = source.find(f"{ARCHITECTURE}.rope.freq_base", float, _DEFAULT_ROPE_THETA)
    rope_theta = _plain(theta or _DEFAULT_ROPE_THETA)
    epsilon = source.get(f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon", float)
    return Architecture(
        vocabulary=_embedding_rows(source),
        context=_size(source, "context_length"),
        width=width,
        hidden=_size(source, "feed_forward_length"),
        layers=_size(source, "block_count"),
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        epsilon=_plain(epsilon),
        rope_theta=rope_theta,
        rope_scaling=scaling_of(source, head_width, rope_theta),
        tied="output.weight" not in source.tensors,
        attention_bias=_has_bias(source, _ATTENTION_BIASES),
        mlp_bias=_has_bias(source, _MLP_BIASES),
    )


def _check_kind(source: Source) -> None:
    kind = source.get("general.architecture", str)
    if kind != ARCHITECTURE:
        raise Refused(
            f"{source.path}: its architecture is {kind}; only {ARCHITECTURE} can be converted"
        )
    for name in _FOREIGN:
        if source.metadata.get(f"{ARCHITECTURE}.{name}"):
            raise Refused(f"{source.path}: {ARCHITECTURE}.{name} has no place in LlamaForCausalLM")


def _size(source: Source, name: str, default: int | None = None) -> int:
    key = f"{ARCHITECTURE}.{name}"
    size = source.get(key, int) if default is None else source.find(key, int, default)
    if size is None or size < 1:
        raise Refused(f"{source.path}: {key} is {size}; it must be positive")
    return size


def _head_width(source: Source, width: int, heads: int) -> int:
    head_width = _size(source, "attention.key_length", width // heads)
    if _size(source, "attention.value_length", head_width) != head_width:
        raise Refused(f"{source.path}: its keys and values differ in width")
    if _size(source, "rope.dimension_count", head_width) != head_width or head_width % 2:
        raise Refused(f"{source.path}: only a part of each head is rotated, which is not supported")
    return head_width


def _embedding_rows(source: Source) -> int:
    embedding = source.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise Refused(f"{source.path}: it has no embedding matrix token_embd.weight")
    return embedding.shape[0]


def _has_bias(source: Source, matrices: tuple[str, ...]) -> bool:
    endings = tuple(f".{matrix}.bias" for matrix in matrices)
    return any(name.endswith(endings) for name in source.tensors)


def _plain(value: float) -> float:
    """The shortest number that is the same float32: 1e-05 instead of 9.999999747378752e-06."""
    return float(str(np.float32(value)))
