from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from quorate_registry.checkpoint import CheckpointFacts, read_checkpoint
from quorate_registry.checkpoint_config import CheckpointConfig, read_config
from quorate_registry.errors import BrokenFile
from support.model_headers import refusal
from support.pulls import FIRST, INDEX, SECOND

PLAIN = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
}


def config(folder: Path, content: dict[str, Any]) -> CheckpointConfig:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return read_config(path)


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reason(folder: Path) -> str:
    broken = refusal(read_checkpoint, folder)
    return f"{broken.path.name}: {broken.reason}"


def test_the_facts_of_a_checkpoint_come_from_all_its_files(checkpoint: Path) -> None:
    facts = read_checkpoint(checkpoint)
    assert facts == CheckpointFacts(
        path=checkpoint,
        config=CheckpointConfig(
            architecture="LlamaForCausalLM",
            quantisation="",
            context_length=128,
            layers=2,
            embedding_length=64,
            heads=4,
            kv_heads=2,
            head_size=16,
            vocabulary_size=96,
            kv_bytes_per_token=2 * 2 * 2 * 16 * 2,
        ),
        parameters=3 * 64 * 8,
        dtype="F32",
        tokenizer="TinyTokenizer",
        chat_template="{{ messages }}",
        file_bytes=sum(path.stat().st_size for path in checkpoint.iterdir()),
        tensor_bytes=3 * 64 * 8 * 4,
    )
    assert facts.memory_estimate(100) == facts.tensor_bytes + 100 * 256


@pytest.mark.parametrize(
    ("changes", "kv_bytes"),
    [
        ({}, 2 * 30 * 3 * 64 * 2),
        ({"num_key_value_heads": None}, 2 * 30 * 9 * 64 * 2),
        ({"head_dim": 128}, 2 * 30 * 3 * 128 * 2),
        ({"head_dim": None}, 2 * 30 * 3 * 64 * 2),
        ({"num_key_value_heads": None, "multi_query": True}, 2 * 30 * 1 * 64 * 2),
        ({"layer_types": ["full_attention", "sliding_attention"]}, 2 * 30 * 3 * 64 * 2),
        ({"kv_lora_rank": 512}, None),
        ({"layer_types": ["linear_attention", "full_attention"]}, None),
        ({"num_key_value_heads": [1, 2]}, None),
        ({"mamba_d_state": 16}, None),
        ({"layers_block_type": ["mamba"]}, None),
        ({"is_encoder_decoder": True}, None),
        ({"num_attention_heads": None, "num_key_value_heads": None}, None),
        ({"hidden_size": None}, None),
    ],
)
def test_the_cache_of_a_token_is_counted_or_said_to_be_unknown(
    tmp_path: Path, changes: dict[str, Any], kv_bytes: int | None
) -> None:
    assert config(tmp_path, PLAIN | changes).kv_bytes_per_token == kv_bytes


def test_names_of_older_families_are_understood(tmp_path: Path) -> None:
    old = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}
    found = config(tmp_path, {"architectures": ["GPT2LMHeadModel"], **old})
    assert (found.layers, found.heads, found.kv_heads, found.head_size) == (12, 12, 12, 64)
    assert (found.context_length, found.kv_bytes_per_token) == (1024, 36_864)


def test_a_model_with_eyes_tells_of_its_language_model(tmp_path: Path) -> None:
    found = config(tmp_path, {"architectures": ["SeeingModel"], "text_config": PLAIN})
    assert (found.architecture, found.layers) == ("SeeingModel", 30)


@pytest.mark.parametrize(
    ("table", "expected"),
    [({"quant_method": "awq"}, "awq"), ({"bits": 4}, "unknown"), (None, ""), ("awq", "")],
)
def test_a_quantisation_is_named_where_the_configuration_does(
    tmp_path: Path, table: Any, expected: str
) -> None:
    assert config(tmp_path, PLAIN | {"quantization_config": table}).quantisation == expected


def test_packed_weights_are_not_counted(checkpoint: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    (checkpoint / INDEX).unlink()
    (checkpoint / FIRST).unlink()
    save_file({"q": np.zeros((64, 8), np.int32)}, checkpoint / SECOND)
    assert read_checkpoint(checkpoint).parameters == 512
    edited(checkpoint / "config.json", quantization_config={"quant_method": "gptq"})
    facts = read_checkpoint(checkpoint)
    assert (facts.parameters, facts.dtype, facts.config.quantisation) == (None, "I32", "gptq")


def test_without_a_known_cache_there_is_no_estimate(checkpoint: Path) -> None:
    edited(checkpoint / "config.json", kv_lora_rank=512)
    assert read_checkpoint(checkpoint).memory_estimate(10) is None


def test_a_template_file_comes_before_the_one_in_the_configuration(checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").write_text("from a file")
    assert read_checkpoint(checkpoint).chat_template == "from a file"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ([{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": "tool", "template": "t"}], None),
        (["d"], None),
        (1, None),
        ("", None),
    ],
)
def test_of_several_templates_the_default_is_taken(
    checkpoint: Path, template: Any, expected: str | None
) -> None:
    edited(checkpoint / "tokenizer_config.json", chat_template=template)
    assert read_checkpoint(checkpoint).chat_template == expected


def test_weights_beside_the_index_count_for_nothing(checkpoint: Path) -> None:
    whole = read_checkpoint(checkpoint)
    shutil.copy(checkpoint / SECOND, checkpoint / "consolidated.safetensors")
    assert read_checkpoint(checkpoint).parameters == whole.parameters


def test_what_is_hidden_is_no_part_of_a_checkpoint(checkpoint: Path) -> None:
    size = read_checkpoint(checkpoint).file_bytes
    (checkpoint / ".git").mkdir()
    (checkpoint / ".git" / "pack").write_bytes(bytes(1000))
    (checkpoint / ".lock").write_bytes(bytes(1000))
    assert read_checkpoint(checkpoint).file_bytes == size


def test_links_into_a_cache_are_followed(checkpoint: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in list(checkpoint.iterdir()):
        os.replace(path, cache / path.name)
        path.symlink_to(cache / path.name)
    assert read_checkpoint(checkpoint).file_bytes == sum(p.stat().st_size for p in cache.iterdir())


@pytest.mark.parametrize(
    ("name", "told"), [("config.json", "without config.json"), (FIRST, f"lacks the file {FIRST}")]
)
def test_a_checkpoint_that_lacks_a_file_is_refused(checkpoint: Path, name: str, told: str) -> None:
    (checkpoint / name).unlink()
    assert told in reason(checkpoint)


def test_a_folder_without_weights_is_refused(checkpoint: Path) -> None:
    for path in checkpoint.glob("model*"):
        path.unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(b"pickle")
    assert "holds no weights as safetensors" in reason(checkpoint)


def test_a_tensor_that_the_index_puts_elsewhere_is_named(checkpoint: Path) -> None:
    edited(checkpoint / INDEX, weight_map={"norm.weight": FIRST})
    assert f"{FIRST}: lacks the tensor 'norm.weight'" in reason(checkpoint)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (None, "has no table weight_map"),
        ({}, "has no table weight_map"),
        ([FIRST], "has no table weight_map"),
        ({"t": 1}, "puts the tensor 't' into 1"),
        ({"t": "../model.safetensors"}, "puts the tensor 't' into '../model"),
        ({"t": "/etc/passwd"}, "puts the tensor 't' into '/etc/passwd'"),
        ({"t": "model.bin"}, "puts the tensor 't' into 'model.bin'"),
    ],
)
def test_an_index_that_leads_astray_is_refused(
    checkpoint: Path, places: Any, expected: str
) -> None:
    edited(checkpoint / INDEX, weight_map=places)
    assert f"{INDEX}: {expected}" in reason(checkpoint)


def test_a_tensor_in_two_files_without_an_index_is_refused(checkpoint: Path) -> None:
    (checkpoint / INDEX).unlink()
    shutil.copy(checkpoint / SECOND, checkpoint / "model.safetensors")
    assert f"model.safetensors: holds the tensor 'norm.weight', as does {SECOND}" in reason(
        checkpoint
    )


def test_a_damaged_weight_file_is_named(checkpoint: Path) -> None:
    content = (checkpoint / SECOND).read_bytes()
    (checkpoint / SECOND).write_bytes(content[:-1])
    assert f"{SECOND}: is truncated" in reason(checkpoint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "does not name its architecture"),
        ('{"architectures": []}', "does not name its architecture"),
        ('{"architectures": "L"}', "does not name its architecture"),
        ('{"architectures": [1]}', "does not name its architecture"),
        ("[" * 100_000, "is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ("\0" * 100, "is not JSON"),
        (" " * (1 << 22) + "{}", "which no model needs"),
        ('{"architectures": ["L"], "num_hidden_layers": 5000}', "claims 5000 layers"),
        ('{"architectures": ["L"], "num_hidden_layers": -1}', "number in num_hidden_layers"),
        ('{"architectures": ["L"], "hidden_size": 1e3}', "no believable number in hidden_size"),
        ('{"architectures": ["L"], "vocab_size": true}', "no believable number in vocab_size"),
        ('{"architectures": ["L"], "head_dim": "64"}', "no believable number in head_dim"),
        ('{"architectures": ["L"], "n_positions": ' + "9" * 99 + "}", "number in n_positions"),
    ],
)
def test_a_hostile_configuration_is_refused_with_its_reason(
    checkpoint: Path, text: str, expected: str
) -> None:
    (checkpoint / "config.json").write_text(text)
    assert expected in reason(checkpoint)


def test_a_configuration_that_is_a_pipe_is_not_opened(checkpoint: Path) -> None:
    (checkpoint / "tokenizer_config.json").unlink()
    os.mkfifo(checkpoint / "tokenizer_config.json")
    assert "tokenizer_config.json: is not a file" in reason(checkpoint)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match="does not exist"):
        read_checkpoint(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokenFile, match="is not a folder"):
        read_checkpoint(tmp_path / "file")
