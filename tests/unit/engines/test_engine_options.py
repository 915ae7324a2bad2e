"""The options of every engine, as they are read from a configuration."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import EngineOptions, engines
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.vllm.options import VllmOptions
from quorate.errors import SettingsError

WHERE = "models.a.options"


@pytest.mark.parametrize("engine", engines().values(), ids=engines())
def test_nothing_set_gives_the_defaults(engine: Any) -> None:
    assert engine.options.from_mapping({}, WHERE) == engine.options()


def test_a_byte_exact_beam_has_sessions_by_default() -> None:
    assert LlamaCppOptions().sessions == 32


def test_what_is_not_given_to_vllm_is_left_to_the_machine() -> None:
    options = VllmOptions()
    assert (options.context_length, options.cells, options.memory_fraction) == (0, 0, 0.0)
    assert (options.dtype, options.quantization, options.compile) == ("auto", "", "auto")
    assert (options.tensor_parallel, options.pipeline_parallel) == (1, 1)


@pytest.mark.parametrize(
    ("options", "given", "changed"),
    [
        (
            LlamaCppOptions,
            {"sessions": 2, "tensor_split": [1, 0.5], "flash_attention": "off", "use_mlock": True},
            {"tensor_split": (1.0, 0.5)},
        ),
        (
            VllmOptions,
            {
                "context_length": 4096,
                "sessions": 8,
                "cells": 8192,
                "batch_tokens": 1024,
                "memory_fraction": 0.5,
                "tensor_parallel": 2,
                "pipeline_parallel": 2,
                "dtype": "bfloat16",
                "kv_dtype": "fp8",
                "quantization": "awq",
                "compile": "off",
                "block_size": 64,
            },
            {},
        ),
        # Whole numbers are taken where fractions are allowed.
        (ScriptedOptions, {"sharpness": 2, "seed": 5}, {"sharpness": 2.0}),
    ],
)
def test_values_are_taken(
    options: type[EngineOptions], given: dict[str, Any], changed: dict[str, Any]
) -> None:
    read = options.from_mapping(given, WHERE)
    expected = given | changed
    assert read == options(**expected)
    found = {name: getattr(read, name) for name in expected}
    assert {name: (type(value), value) for name, value in found.items()} == {
        name: (type(value), value) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("options", "given", "complaint"),
    [
        (LlamaCppOptions, {"sesions": 2}, r"^{0}\.sesions: .*did you mean sessions\?"),
        *(
            (LlamaCppOptions, {name: value}, rf"^{{0}}\.{name}")
            for name, value in (
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
            )
        ),
        # A quantised V cache needs flash attention.
        (LlamaCppOptions, {"kv_type_v": "q8_0", "flash_attention": "off"}, r"^{0}\.kv_type_v"),
        # What would have no effect, or could never be reached.
        (LlamaCppOptions, {"main_gpu": 1}, r"^{0}\.main_gpu: has no effect .* set that to none"),
        (LlamaCppOptions, {"tensor_split": [1], "split_mode": "none"}, r"^{0}\.tensor_split"),
        *(
            (
                options,
                {"context_length": 4096, "cells": 2048},
                r"^{0}\.cells: 2048 cannot hold one session of context_length 4096",
            )
            for options in (LlamaCppOptions, VllmOptions)
        ),
        (VllmOptions, {"memory_fraction": 1.5}, r"^{0}\.memory_fraction"),
        (VllmOptions, {"sessions": 0}, r"^{0}\.sessions"),
        (VllmOptions, {"tensor_parallel": 0}, r"^{0}\.tensor_parallel"),
        (VllmOptions, {"dtype": "int3"}, r"^{0}\.dtype"),
        (VllmOptions, {"compile": "maybe"}, r"^{0}\.compile"),
        (VllmOptions, {"block_size": 24}, r"^{0}\.block_size: 24 is not a power of 2"),
        (VllmOptions, {"gpu_layers": 3}, r"^{0}\.gpu_layers"),
        (ScriptedOptions, {"sed": 1}, r"{0}\.sed: unknown key; did you mean seed\?"),
        (ScriptedOptions, {"zzz": 1}, r"{0}\.zzz: unknown key; known: vocabulary, pieces, seed"),
        (ScriptedOptions, {"seed": "1"}, r"{0}\.seed: must be an integer, not '1'"),
        (ScriptedOptions, {"say": 5}, r"{0}\.say: must be a text, not 5"),
        (ScriptedOptions, {"chat": 1}, r"{0}\.chat: must be true or false, not 1"),
        (
            ScriptedOptions,
            {"sharpness": float("nan")},
            "sharpness: must be finite and at least 0, not nan",
        ),
        (ScriptedOptions, {"confidence": 1}, "confidence: must be from 0 to 0.999999, not 1.0"),
        (ScriptedOptions, {"sessions": 0}, "sessions: must be finite and at least 1, not 0"),
        (ScriptedOptions, {"cells": -1}, "cells: must be finite and at least 0, not -1"),
        (
            ScriptedOptions,
            {"vocabulary": "bytes"},
            "vocabulary: must be one of letters, words, opaque, not 'bytes'",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    options: type[EngineOptions], given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint.replace("{0}", r"models\.a\.options")):
        options.from_mapping(given, WHERE)
