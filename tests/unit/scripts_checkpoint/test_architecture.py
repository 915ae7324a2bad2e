from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.architecture import architecture_of
from checkpoint.errors import Refused
from checkpoint.rope import Llama3Scaling

from support.gguf_files import smollm2, stories260k
from unit.scripts_checkpoint.conftest import Parts, source_of


def config_of(path: Path) -> dict[str, object]:
    return architecture_of(source_of(path)).config()


def test_the_facts_of_stories260k() -> None:
    assert config_of(stories260k()) == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 512,
        "max_position_embeddings": 512,
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
    }


def test_the_facts_of_smollm2() -> None:
    config = config_of(smollm2())
    assert config["vocab_size"] == 49_152
    assert config["max_position_embeddings"] == 8192
    assert (config["hidden_size"], config["intermediate_size"]) == (576, 1536)
    assert config["num_hidden_layers"] == 30
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (9, 3)
    assert config["rope_theta"] == 100_000.0
    assert config["tie_word_embeddings"] is True
    assert "head_dim" not in config
    assert "rope_scaling" not in config


def test_a_head_of_another_width_is_told(stories_variant: Callable[..., Path]) -> None:
    path = stories_variant(
        llama__attention__key_length=16,
        llama__attention__value_length=16,
        llama__rope__dimension_count=16,
    )
    assert config_of(path)["head_dim"] == 16


def test_where_key_value_heads_are_not_told_every_head_has_its_own(
    stories_variant: Callable[..., Path],
) -> None:
    config = config_of(stories_variant(llama__attention__head_count_kv=None))
    assert config["num_key_value_heads"] == 8


def llama3_divisors(width: int, theta: float, factor: float) -> list[float]:
    """As the code of Llama 3.1 computes them, frequency by frequency."""
    divisors = []
    for index in range(0, width, 2):
        wavelength = 2 * math.pi * theta ** (index / width)
        if wavelength < 8192 / 4:
            divisors.append(1.0)
        elif wavelength > 8192 / 1:
            divisors.append(factor)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return divisors


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_divisors_are_those_of_llama_3(factor: float) -> None:
    ours = Llama3Scaling(factor).divisors(128, 500_000.0)
    theirs = llama3_divisors(128, 500_000.0, factor)
    assert np.allclose(ours, theirs, rtol=1e-6)
    assert (ours[0], ours[-1]) == (1.0, factor)
    assert any(1.0 < divisor < factor for divisor in theirs)


def scaled(stories: Parts, divisors: list[float], path: Path) -> Path:
    stories.set(llama__rope__freq_base=500_000.0)
    stories.tensors["rope_freqs.weight"] = np.array(divisors, dtype=np.float32)
    return stories.write(path)


def test_llama_3_scaling_is_recovered_from_its_divisors(stories: Parts, tmp_path: Path) -> None:
    path = scaled(stories, llama3_divisors(8, 500_000.0, 32.0), tmp_path / "scaled.gguf")
    assert config_of(path)["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


def test_divisors_of_one_are_no_scaling(stories: Parts, tmp_path: Path) -> None:
    assert "rope_scaling" not in config_of(scaled(stories, [1.0] * 4, tmp_path / "plain.gguf"))


@pytest.mark.parametrize("divisors", [[1.0, 3.0, 8.0, 8.0], [1.0, 1.0, 8.0]])
def test_other_divisors_are_refused(divisors: list[float], stories: Parts, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"rope_freqs\.weight does not follow Llama 3's rule"):
        config_of(scaled(stories, divisors, tmp_path / "other.gguf"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general__architecture": "qwen2"}, "architecture is qwen2; only llama can be converted"),
        ({"llama__expert_count": 8}, r"llama\.expert_count has no place"),
        ({"llama__attention__scale": 0.5}, r"llama\.attention\.scale has no place"),
        ({"llama__rope__scaling__type": "yarn"}, "rope scaling of the kind yarn"),
        ({"llama__rope__scaling__factor": 2.0}, "asks for linear scaling"),
        ({"llama__rope__scale_linear": 2.0}, "asks for linear scaling"),
        ({"llama__rope__dimension_count": 4}, "only a part of each head is rotated"),
        ({"llama__attention__value_length": 4}, "keys and values differ in width"),
        ({"llama__attention__head_count_kv": 3}, "8 heads cannot share 3 key-value heads"),
        (
            {"llama__attention__head_count": [8, 8, 4]},
            r"head_count is \[8, 8, 4\], which is no int",
        ),
        ({"llama__block_count": 0}, r"llama\.block_count is 0; it must be positive"),
        ({"llama__context_length": None}, r"llama\.context_length is missing"),
        ({"llama__feed_forward_length": "wide"}, "is 'wide', which is no int"),
    ],
)
def test_what_has_no_place_in_the_class_is_refused(
    change: dict[str, Any], message: str, stories_variant: Callable[..., Path]
) -> None:
    with pytest.raises(Refused, match=message):
        config_of(stories_variant(**change))
