"""Which tensor of a GGUF file becomes which of a checkpoint, and how its rows are ordered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from checkpoint.architecture import Architecture
from checkpoint.errors import Refused
from checkpoint.source import Floats, Source

# Recovered from, not written: config.json says the same.
_CONSUMED = frozenset({"rope_freqs.weight"})


@dataclass(frozen=True, slots=True)
class Placement:
    """One tensor's way.

    Attributes:
        stored: Its name in the GGUF file.
        name: Its name in the checkpoint.
        shape: Rows first.
        rotated_heads: Heads whose rows llama.cpp has interleaved; 0 where the order is the same.
    """

    stored: str
    name: str
    shape: tuple[int, ...]
    rotated_heads: int = 0

    @property
    def weights(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def placements_of(source: Source, model: Architecture) -> list[Placement]:
    """All tensors of a checkpoint, in the order in which a model computes.

    Raises:
        Refused: The file lacks one, has one more, or one of another shape.
    """
    wanted = list(_placements(model))
    for one in wanted:
        _check(source, one)
    surplus = sorted(set(source.tensors) - {one.stored for one in wanted} - _CONSUMED)
    if surplus:
        raise Refused(
            f"{source.path}: {surplus[0]} has no place in LlamaForCausalLM"
            + (f", nor have {len(surplus) - 1} more tensors" if surplus[1:] else "")
        )
    return wanted


def unpermute(weights: Floats, heads: int) -> Floats:
    """Rows of each head from (frequency, half), as llama.cpp rotates, to (half, frequency).

    The inverse of ``permute`` in llama.cpp's ``convert_hf_to_gguf.py``. Biases are vectors, and
    ordered in the same way.
    """
    rows = weights.shape[0]
    pairs = weights.reshape(heads, rows // heads // 2, 2, *weights.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def _placements(model: Architecture) -> Iterator[Placement]:
    width = model.width
    embedding = (model.vocabulary, width)
    yield Placement("token_embd.weight", "model.embed_tokens.weight", embedding)
    for layer in range(model.layers):
        yield from _of_layer(model, f"blk.{layer}.", f"model.layers.{layer}.")
    yield Placement("output_norm.weight", "model.norm.weight", (width,))
    if not model.tied:
        yield Placement("output.weight", "lm_head.weight", embedding)


def _of_layer(model: Architecture, stored: str, name: str) -> Iterator[Placement]:
    width, queries = model.width, model.heads * model.head_width
    keys = model.kv_heads * model.head_width
    yield Placement(f"{stored}attn_norm.weight", f"{name}input_layernorm.weight", (width,))
    for of_llama_cpp, of_hugging_face, shape, heads in (
        ("attn_q", "self_attn.q_proj", (queries, width), model.heads),
        ("attn_k", "self_attn.k_proj", (keys, width), model.kv_heads),
        ("attn_v", "self_attn.v_proj", (keys, width), 0),
        ("attn_output", "self_attn.o_proj", (width, queries), 0),
        ("ffn_gate", "mlp.gate_proj", (model.hidden, width), 0),
        ("ffn_up", "mlp.up_proj", (model.hidden, width), 0),
        ("ffn_down", "mlp.down_proj", (width, model.hidden), 0),
    ):
        old, new = f"{stored}{of_llama_cpp}", f"{name}{of_hugging_face}"
        yield Placement(f"{old}.weight", f"{new}.weight", shape, heads)
        if model.attention_bias if of_llama_cpp.startswith("attn") else model.mlp_bias:
            yield Placement(f"{old}.bias", f"{new}.bias", shape[:1], heads)
    yield Placement(f"{stored}ffn_norm.weight", f"{name}post_attention_layernorm.weight", (width,))


def _check(source: Source, wanted: Placement) -> None:
    tensor = source.tensors.get(wanted.stored)
    if tensor is None:
        hint = "; LlamaForCausalLM has biases on all such matrices or on none"
        raise Refused(
            f"{source.path}: {wanted.stored} is missing"
            + (hint if wanted.stored.endswith(".bias") else "")
        )
    if tensor.shape != wanted.shape:
        raise Refused(
            f"{source.path}: {wanted.stored} has the shape {tensor.shape}, not {wanted.shape}"
        )
