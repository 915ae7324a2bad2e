"""How many tokens a session may hold, by what was asked for and what the model was trained for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.llama_cpp.context_length import Training, session_tokens, stretched
from quorate.engines.llama_cpp.options import CONTEXT_LENGTH_CAP, LlamaCppOptions
from quorate.errors import ModelUnusable

YARN = {
    "qwen3.context_length": "32768",
    "qwen3.rope.freq_base": "1000000.0",
    "qwen3.rope.scaling.type": "yarn",
    "qwen3.rope.scaling.factor": "4.0",
    "qwen3.rope.scaling.original_context_length": "32768",
}


def tokens(training: Training, **options: Any) -> int:
    return session_tokens(training, LlamaCppOptions(**options), "m")


def test_scaling_in_the_file_reaches_further_than_the_training() -> None:
    training = Training.read("qwen3", lambda key: YARN.get(key, ""))
    assert training == Training(131072, 1e6, 0.25)
    assert tokens(training, context_length=131072) == 131072
    without = {**YARN, "qwen3.rope.scaling.type": "none"}
    assert Training.read("qwen3", lambda key: without.get(key, "")) == Training(32768, 1e6, 1.0)
    extended = {**YARN, "qwen3.context_length": "131072"}
    assert Training.read("qwen3", lambda key: extended.get(key, "")).tokens == 131072


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2048),
        ({"cells": 512}, 512),
        ({"context_length": 1024}, 1024),
        ({"context_length": 4096, "rope_freq_scale": 0.5}, 4096),
        ({"context_length": 3000, "rope_freq_scale": 0.25}, 3000),
        ({"context_length": 100_000, "rope_freq_base": 1e6}, 100_000),
    ],
)
def test_what_is_asked_for_is_obeyed_where_positions_reach_it(
    options: dict[str, Any], expected: int
) -> None:
    assert tokens(Training(2048, 10_000.0), **options) == expected


@pytest.mark.parametrize(
    ("options", "reached"),
    [
        ({"context_length": 2049}, 2048),
        ({"context_length": 4097, "rope_freq_scale": 0.5}, 4096),
        # The same base as that of the training stretches nothing.
        ({"context_length": 4096, "rope_freq_base": 10_000.0}, 2048),
        ({"context_length": 2048, "rope_freq_scale": 2.0}, 1024),
    ],
)
def test_what_positions_do_not_reach_is_refused_with_both_numbers(
    options: dict[str, Any], reached: int
) -> None:
    with pytest.raises(ModelUnusable) as caught:
        tokens(Training(2048, 10_000.0), **options)
    wanted = options["context_length"]
    assert f"context_length is {wanted}, and the model reaches {reached} tokens" in str(
        caught.value
    )
    assert "rope_freq_scale = " in str(caught.value)


def test_an_option_replaces_the_scale_of_the_file() -> None:
    yarn = Training(131072, 1e6, 0.25)
    assert tokens(yarn, context_length=262144, rope_freq_scale=0.125) == 262144
    with pytest.raises(ModelUnusable, match="reaches 32768 tokens"):
        tokens(yarn, context_length=40000, rope_freq_scale=1.0)


@given(st.integers(16, 2**20), st.integers(1, 2**22))
def test_the_scale_that_a_refusal_names_is_enough(trained: int, wanted: int) -> None:
    training = Training(trained)
    try:
        assert tokens(training, context_length=wanted) == wanted <= trained
    except ModelUnusable as error:
        scale = float(error.problem.partition("rope_freq_scale = ")[2].partition(",")[0])
        if scale:
            assert tokens(training, context_length=wanted, rope_freq_scale=scale) == wanted


def test_a_long_training_is_not_taken_without_being_asked() -> None:
    assert tokens(Training(131072)) == CONTEXT_LENGTH_CAP
    assert tokens(Training(131072), context_length=131072) == 131072


def test_a_context_beyond_the_training_comes_with_a_warning() -> None:
    training = Training(2048)
    assert stretched(training, LlamaCppOptions(context_length=2048)) == ""
    warning = stretched(training, LlamaCppOptions(context_length=4096, rope_freq_scale=0.5))
    assert "context_length is 4096, and the model was trained for 2048 tokens" in warning
