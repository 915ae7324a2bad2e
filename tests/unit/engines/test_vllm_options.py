from __future__ import annotations

import pytest

from quorate.engines.vllm.options import VllmOptions
from quorate.errors import SettingsError


def test_what_is_not_given_is_left_to_the_machine() -> None:
    options = VllmOptions.from_mapping({}, "models[0].options")
    assert (options.context_length, options.cells, options.memory_fraction) == (0, 0, 0.0)
    assert (options.dtype, options.quantization, options.compile) == ("auto", "", "auto")
    assert (options.tensor_parallel, options.pipeline_parallel) == (1, 1)


def test_everything_can_be_given() -> None:
    given = {
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
    }
    options = VllmOptions.from_mapping(given, "models[0].options")
    assert {name: getattr(options, name) for name in given} == given


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("memory_fraction", 1.5, "memory_fraction"),
        ("sessions", 0, "sessions"),
        ("tensor_parallel", 0, "tensor_parallel"),
        ("dtype", "int3", "dtype"),
        ("compile", "maybe", "compile"),
        ("block_size", 24, "block_size: 24 is not a power of 2"),
        ("gpu_layers", 3, "gpu_layers"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: object, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        VllmOptions.from_mapping({name: value}, "models[0].options")
