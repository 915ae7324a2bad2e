"""Whether the tensors of a checkpoint are as large as its configuration says.

vLLM takes the part of a tensor that it has room for, and answers with what is left of the model.
Only the families that share Llama's names and shapes are checked; of others vLLM is the judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FAMILIES = frozenset(
    {
        "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite",
        "smollm3", "olmo2", "seed_oss", "ministral", "arcee", "apertus",
    }
)  # fmt: skip
_LONGEST_HEADER = 1 << 25
_LAYER = re.compile(r"(?:model\.)?layers\.(\d+)\.(.+)")


def misfit(folder: Path, config: Mapping[str, Any]) -> str:
    """The first tensor of another shape than the configuration says; "" where there is none."""
    if config.get("model_type") not in _FAMILIES or config.get("quantization_config"):
        return ""
    wanted, layers = _shapes(config), config.get("num_hidden_layers")
    highest = -1
    for name, shape in _tensors(folder):
        named = _LAYER.fullmatch(name)
        if named:
            highest = max(highest, int(named[1]))
        expected = wanted.get(named[2] if named else name.removeprefix("model."))
        if expected and None not in expected and shape != expected:
            return (
                f"its tensor {name} is {_times(shape)}, and its config.json makes it "
                f"{_times(expected)}: they do not belong together"
            )
    if isinstance(layers, int) and highest >= layers:
        return (
            f"it has weights of {highest + 1} layers, and its config.json names {layers}: they do "
            "not belong together"
        )
    return ""


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
    """Shapes by what follows the number of the layer, or the name; None is not known."""
    hidden, inner = _number(config, "hidden_size"), _number(config, "intermediate_size")
    heads, vocabulary = _number(config, "num_attention_heads"), _number(config, "vocab_size")
    kv_heads = _number(config, "num_key_value_heads") or heads
    head = _number(config, "head_dim") or (hidden // heads if hidden and heads else None)
    queries = head * heads if head and heads else None
    keys = head * kv_heads if head and kv_heads else None
    return {
        "embed_tokens.weight": (vocabulary, hidden),
        "lm_head.weight": (vocabulary, hidden),
        "norm.weight": (hidden,),
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "self_attn.q_proj.bias": (queries,),
        "self_attn.k_proj.bias": (keys,),
        "self_attn.v_proj.bias": (keys,),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }


def _number(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if type(value) is int and value > 0 else None


def _times(shape: tuple[int | None, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes from the headers; a file that cannot be read is left to vLLM."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with file.open("rb") as opened:
                length = int.from_bytes(opened.read(8), "little")
                if not 2 <= length <= _LONGEST_HEADER:
                    continue
                table = json.loads(opened.read(length))
            for name, entry in table.items():
                if name != "__metadata__":
                    yield name, tuple(entry["shape"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
