from __future__ import annotations

import pytest

from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.errors import SettingsError


def test_nothing_set_gives_the_defaults():
    assert LlamaCppOptions.from_mapping({}, "models.a") == LlamaCppOptions()


def test_a_byte_exact_beam_has_sessions_by_default():
    assert LlamaCppOptions().sessions == 32


def test_values_are_taken():
    options = LlamaCppOptions.from_mapping(
        {"sessions": 2, "tensor_split": [1, 0.5], "flash_attention": "off", "use_mlock": True},
        "models.a",
    )
    assert options.sessions == 2
    assert options.tensor_split == (1.0, 0.5)
    assert options.flash_attention == "off"
    assert options.use_mlock is True


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(SettingsError, match=r"models\.a\.sesions: .*did you mean sessions\?"):
        LlamaCppOptions.from_mapping({"sesions": 2}, "models.a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sessions", 0),
        ("sessions", 257),
        ("sessions", True),
        ("sessions", "8"),
        ("cells", -1),
        ("batch_tokens", 1.5),
        ("gpu_layers", -2),
        ("split_mode", "columns"),
        ("flash_attention", True),
        ("kv_type_k", "q4_k"),
        ("use_mmap", 1),
        ("repack", "maybe"),
        ("tensor_split", 1.0),
        ("tensor_split", [0.0, 0.0]),
        ("tensor_split", [-1.0]),
        ("rope_freq_base", float("nan")),
        ("rope_freq_scale", float("inf")),
    ],
)
def test_a_wrong_value_names_its_key(name, value):
    with pytest.raises(SettingsError, match=rf"^models\.a\.{name}"):
        LlamaCppOptions.from_mapping({name: value}, "models.a")


def test_a_quantised_v_cache_needs_flash_attention():
    with pytest.raises(SettingsError, match="kv_type_v"):
        LlamaCppOptions.from_mapping({"kv_type_v": "q8_0", "flash_attention": "off"}, "models.a")
