from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from checkpoint.architecture import architecture_of
from checkpoint.errors import Refused
from checkpoint.names import Placement, placements_of, unpermute
from hypothesis import given
from hypothesis import strategies as st

from support.gguf_files import smollm2, stories260k
from unit.scripts_checkpoint.conftest import Parts, source_of

Floats = npt.NDArray[np.float32]


def permuted(weights: Floats, heads: int) -> Floats:
    """What llama.cpp's converter does, row by row: the halves of a head are interleaved."""
    width = len(weights) // heads
    order = [
        head * width + half * (width // 2) + frequency
        for head in range(heads)
        for frequency in range(width // 2)
        for half in range(2)
    ]
    return weights[order]


def placed(path: Path) -> dict[str, Placement]:
    source = source_of(path)
    return {one.stored: one for one in placements_of(source, architecture_of(source))}


@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 5))
def test_unpermuting_undoes_what_the_converter_did(heads: int, half: int, columns: int) -> None:
    rows = heads * half * 2
    weights = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    assert np.array_equal(unpermute(permuted(weights, heads), heads), weights)
    bias = np.arange(rows, dtype=np.float32)
    assert np.array_equal(unpermute(permuted(bias, heads), heads), bias)


def test_unpermuting_puts_the_halves_of_a_head_one_behind_the_other() -> None:
    interleaved = np.array([0, 3, 1, 4, 2, 5, 10, 13, 11, 14, 12, 15], dtype=np.float32)
    assert unpermute(interleaved, 2).tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]


def test_queries_have_all_heads_and_keys_those_of_their_own() -> None:
    stories, smol = placed(stories260k()), placed(smollm2())
    assert stories["blk.4.attn_q.weight"].rotated_heads == 8
    assert stories["blk.4.attn_k.weight"].rotated_heads == 4
    assert smol["blk.0.attn_q.weight"].rotated_heads == 9
    assert smol["blk.0.attn_k.weight"].rotated_heads == 3
    rotated = {one.stored.split(".")[2] for one in stories.values() if one.rotated_heads}
    assert rotated == {"attn_q", "attn_k"}


def test_every_tensor_has_the_name_that_hugging_face_gives_it() -> None:
    names = {stored: one.name for stored, one in placed(stories260k()).items()}
    assert len(names) == 48
    assert {
        stored: name
        for stored, name in names.items()
        if not stored.startswith("blk.") or stored.startswith("blk.3.")
    } == {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
        "blk.3.attn_norm.weight": "model.layers.3.input_layernorm.weight",
        "blk.3.attn_q.weight": "model.layers.3.self_attn.q_proj.weight",
        "blk.3.attn_k.weight": "model.layers.3.self_attn.k_proj.weight",
        "blk.3.attn_v.weight": "model.layers.3.self_attn.v_proj.weight",
        "blk.3.attn_output.weight": "model.layers.3.self_attn.o_proj.weight",
        "blk.3.ffn_norm.weight": "model.layers.3.post_attention_layernorm.weight",
        "blk.3.ffn_gate.weight": "model.layers.3.mlp.gate_proj.weight",
        "blk.3.ffn_up.weight": "model.layers.3.mlp.up_proj.weight",
        "blk.3.ffn_down.weight": "model.layers.3.mlp.down_proj.weight",
    }


def test_a_tied_output_matrix_is_not_written_twice() -> None:
    assert "lm_head.weight" not in {one.name for one in placed(smollm2()).values()}


def biases(matrices: dict[str, int], layers: int = 5) -> dict[str, Floats]:
    return {
        f"blk.{layer}.{matrix}.bias": np.zeros(rows, dtype=np.float32)
        for layer in range(layers)
        for matrix, rows in matrices.items()
    }


def test_biases_are_mapped_where_all_of_a_kind_are_there(stories: Parts, tmp_path: Path) -> None:
    stories.tensors |= biases({"attn_q": 64, "attn_k": 32, "attn_v": 32, "attn_output": 64})
    found = placed(stories.write(tmp_path / "biased.gguf"))
    assert found["blk.2.attn_k.bias"] == Placement(
        "blk.2.attn_k.bias", "model.layers.2.self_attn.k_proj.bias", (32,), rotated_heads=4
    )
    assert "blk.2.ffn_up.bias" not in found


def test_biases_on_some_matrices_only_are_refused(stories: Parts, tmp_path: Path) -> None:
    stories.tensors |= biases({"attn_q": 64, "attn_k": 32, "attn_v": 32})
    with pytest.raises(Refused, match=r"blk\.0\.attn_output\.bias is missing; .* all such matr"):
        placed(stories.write(tmp_path / "biased.gguf"))


CHANGES: dict[str, tuple[Callable[[dict[str, Floats]], object], str]] = {
    "one is missing": (
        lambda tensors: tensors.pop("blk.1.ffn_up.weight"),
        r"blk\.1\.ffn_up\.weight is missing",
    ),
    "one is too many": (
        lambda tensors: tensors.update({"blk.0.attn_rot_embd": np.zeros(4, np.float32)}),
        r"blk\.0\.attn_rot_embd has no place in LlamaForCausalLM$",
    ),
    "two are too many": (
        lambda tensors: tensors.update({name: np.zeros(4, np.float32) for name in ("a", "b")}),
        "a has no place in LlamaForCausalLM, nor have 1 more tensors",
    ),
    "one is of another shape": (
        lambda tensors: tensors.update({"blk.0.attn_k.weight": np.zeros((64, 64), np.float32)}),
        r"blk\.0\.attn_k\.weight has the shape \(64, 64\), not \(32, 64\)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tensors_that_do_not_fit_are_refused(change: str, stories: Parts, tmp_path: Path) -> None:
    make, message = CHANGES[change]
    make(stories.tensors)
    with pytest.raises(Refused, match=message):
        placed(stories.write(tmp_path / "changed.gguf"))
