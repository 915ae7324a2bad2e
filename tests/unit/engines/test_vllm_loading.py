"""What is refused before vLLM is imported; the rest is in ``tests/vllm``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from quorate.engines.registry import find_engine
from quorate.engines.vllm.checkpoint import check_checkpoint, check_folder, weight_bytes
from quorate.engines.vllm.failures import one_line
from quorate.engines.vllm.options import VllmOptions
from quorate.engines.vllm.start import load
from quorate.errors import ModelUnusable


def checkpoint(folder: Path, config: object = None, weights: str = "model.safetensors") -> Path:
    """A folder that looks like a checkpoint."""
    described = {"architectures": ["LlamaForCausalLM"]} if config is None else config
    (folder / "config.json").write_text(json.dumps(described))
    (folder / weights).write_bytes(b"12345")
    return folder


def test_a_checkpoint_passes(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path)
    check_folder(str(folder), "m")
    assert weight_bytes(str(folder)) == 5


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"m: .*/nowhere does not exist"):
        check_folder(str(tmp_path / "nowhere"), "m")


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ModelUnusable, match="is a file; vLLM loads checkpoint folders"):
        check_folder(str(file), "m")


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"has no config\.json"):
        check_folder(str(tmp_path), "m")


@pytest.mark.parametrize("text", ["", "{", '"text"', "[]", "{}", '{"architectures": []}'])
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    folder = checkpoint(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelUnusable, match=r"config\.json (cannot be read|names no architecture)"):
        check_folder(str(folder), "m")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, weights="pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="pickles are never loaded"):
        check_folder(str(folder), "m")


SIZES = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 20,
}


def described(folder: Path, **changes: object) -> Path:
    """A small Llama as far as its headers go, and a configuration that may be another's."""
    tensors = {"model.embed_tokens.weight": (20, 8), "model.norm.weight": (8,)}
    for layer in range(2):
        parts = {"q_proj": (8, 8), "k_proj": (4, 8), "v_proj": (4, 8), "o_proj": (8, 8)}
        inside = {f"self_attn.{name}": shape for name, shape in parts.items()}
        inside |= {"mlp.gate_proj": (12, 8), "mlp.up_proj": (12, 8), "mlp.down_proj": (8, 12)}
        tensors |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in inside.items()}
    save_file(
        {name: np.zeros(shape, np.float32) for name, shape in tensors.items()},
        folder / "model.safetensors",
    )
    config = {"architectures": ["LlamaForCausalLM"], **SIZES, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def problem_of(folder: Path) -> str:
    with pytest.raises(ModelUnusable) as refused:
        find_engine("vllm").check(str(folder), {})
    assert "\n" not in refused.value.message
    return refused.value.problem


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head_dim": 2},
        # Quantised weights are packed, and other families name and shape theirs otherwise.
        {"intermediate_size": 6, "quantization_config": {"quant_method": "awq"}},
        {"intermediate_size": 6, "model_type": "teapot"},
    ],
)
def test_a_decoder_whose_tensors_fit_passes(tmp_path: Path, changes: dict[str, object]) -> None:
    check_checkpoint(str(described(tmp_path, **changes)), VllmOptions())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"intermediate_size": 6},
            "its tensor model.layers.0.mlp.down_proj.weight is 8 x 12, and its config.json makes "
            "it 8 x 6",
        ),
        ({"hidden_size": 4}, "embed_tokens.weight is 20 x 8, and its config.json makes it 20 x 4"),
        ({"num_key_value_heads": 1}, "k_proj.weight is 4 x 8, and its config.json makes it 2 x 8"),
        ({"head_dim": 1}, "makes it"),
        ({"vocab_size": 16}, "embed_tokens.weight is 20 x 8"),
        ({"num_hidden_layers": 1}, "weights of 2 layers, and its config.json names 1"),
    ],
)
def test_tensors_that_vllm_would_take_only_a_part_of_are_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    assert reason in problem_of(described(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["BertModel"]}, "a network without an output for text ('BertModel')"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, "classifier, reranker or reward"),
        ({"architectures": ["Qwen2ForProcessRewardModel"]}, "a reward model"),
        ({"architectures": ["XLMRobertaForMaskedLM"]}, "an encoder"),
        ({"architectures": ["LlamaBidirectionalModel"]}, "an embedding model"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "encoder"),
        ({"use_bidirectional_attention": True}, "reads text in both directions"),
        ({"is_causal": False}, "reads text in both directions"),
        ({"text_config": {"is_causal": False}}, "reads text in both directions"),
    ],
)
def test_what_is_no_causal_decoder_is_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    assert reason in problem_of(described(tmp_path, **changes))


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "ChatGLMModel", "Qwen3MoeForCausalLM"])
def test_other_names_of_decoders_pass(tmp_path: Path, name: str) -> None:
    check_checkpoint(str(described(tmp_path, architectures=[name])), VllmOptions())


def test_a_decoder_that_makes_embeddings_is_refused_by_its_modules(tmp_path: Path) -> None:
    folder = described(tmp_path)
    modules = [{"type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    check_checkpoint(str(folder), VllmOptions())
    modules.append({"type": "sentence_transformers.models.Pooling"})
    (folder / "modules.json").write_text(json.dumps(modules))
    assert "embedding model or reranker ('Pooling' in its modules.json)" in problem_of(folder)


def test_a_context_that_positions_do_not_reach_is_refused_before_vllm_is_there(
    tmp_path: Path,
) -> None:
    folder = described(tmp_path, max_position_embeddings=2048, rope_scaling=None)
    check_checkpoint(str(folder), VllmOptions(context_length=2048))
    longer = VllmOptions(context_length=4096)
    with pytest.raises(ModelUnusable, match="is 4096, and the model reaches 2048 tokens"):
        check_checkpoint(str(folder), longer)
    yarn = {"rope_type": "yarn", "factor": 4.0}
    check_checkpoint(
        str(described(tmp_path, max_position_embeddings=2048, rope_scaling=yarn)), longer
    )


def test_an_adapter_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is an adapter (LoRA), not a model" in problem_of(tmp_path)


@pytest.mark.parametrize("header", [b"", b"\xff" * 16, b"\x02" + bytes(7) + b"[]", b"x" * 100])
def test_weights_whose_header_cannot_be_read_are_left_to_vllm(
    tmp_path: Path, header: bytes
) -> None:
    folder = described(tmp_path)
    (folder / "model.safetensors").write_bytes(header)
    check_checkpoint(str(folder), VllmOptions())


def test_without_vllm_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "vllm", None)
    folder = checkpoint(tmp_path)
    with pytest.raises(ModelUnusable, match=r"needs vLLM.*scripts/setup_vllm") as refused:
        load(str(folder), VllmOptions(), 1, lambda _: None)
    assert "\n" not in refused.value.message


def test_a_reason_of_several_lines_becomes_one() -> None:
    error = ValueError("No room.\n\n  Needed: 3 GiB\tthere is 1.")
    assert one_line(error) == "No room. Needed: 3 GiB there is 1."


def test_a_long_reason_is_cut() -> None:
    line = one_line(RuntimeError("word " * 1000))
    assert len(line) <= 400
    assert line.endswith("…")


def test_an_exception_without_text_tells_its_kind() -> None:
    assert one_line(MemoryError()) == "MemoryError"


class _Validation(ValueError):
    """As pydantic's: the text lists every input, the problems stand apart."""

    def errors(self) -> list[dict[str, str]]:
        return [{"msg": "Value error, architecture X is not known"}, {"msg": "too long"}]


def test_of_a_validation_only_the_problems_are_told() -> None:
    error = _Validation("2 validation errors\n input_value=...")
    assert one_line(error) == "architecture X is not known; too long"
