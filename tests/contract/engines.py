"""The engines the contract suite runs over. A new engine is one more entry of ``CASES``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from quorate.engines.contract import Engine
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.fleet.cores import available_cores
from support.checkpoints import ending_llama
from support.gguf_files import smollm2, smollm2_f16, stories260k
from support.scripted_models import scripted_engine
from support.tiny_architectures import recurrent, sliding_window


def present() -> str | None:
    """For engines that need nothing but the product."""
    return None


@dataclass(frozen=True, slots=True)
class EngineCase:
    """One engine under test.

    The engine must have 2 to 8 sessions, at least 48 KV tokens for each of them, and a context of
    at least 96 tokens.

    Attributes:
        name: Shown in the names of the tests.
        start: Loads the engine; the suite closes it.
        missing: Why it cannot run here, or None; called in the test, not at import.
        tolerance: Most difference of the ten best log-probs between two ways of computing them;
            0 asks for equal bits of the whole row.
        shared: Whether one engine serves all tests, one after the other, because it takes long to
            start: every engine with a process of its own. Each test finds no session and an empty
            prefix cache, as in an engine of its own; one that closes it leaves the next a new one.
        marks: Marks of its tests.
    """

    name: str
    start: Callable[[], Awaitable[Engine]]
    missing: Callable[[], str | None] = present
    tolerance: float = 0.0
    shared: bool = False
    marks: tuple[pytest.MarkDecorator, ...] = ()


_GENERATING: dict[str, Any] = {
    "sessions": 3,
    "context_length": 160,
    "generate": True,
    "control": 0.02,
}


async def _in_process_letters() -> Engine:
    return scripted_engine("letters", batch_tokens=16, **_GENERATING)


async def _in_process_words() -> Engine:
    return scripted_engine(
        "words", sessions=3, context_length=160, vocabulary="words", control=0.02
    )


async def _in_process_recurrent() -> Engine:
    return scripted_engine("recurrent", rewind=False, **_GENERATING)


async def _in_process_without_fork() -> Engine:
    return scripted_engine("no_fork", fork=False, **_GENERATING)


async def _in_process_own_sampler() -> Engine:
    return scripted_engine("own", rewind=False, own_sampler=True, batch_tokens=16, **_GENERATING)


async def _hosted(spec: EngineSpec, cores: Sequence[int] | None = None) -> Engine:
    engine = HostedEngine(spec, cores or available_cores()[:1])
    engine.start()
    await engine.wait_ready()
    return engine


async def _hosted_scripted() -> Engine:
    options = {**_GENERATING, "batch_tokens": 16}
    return await _hosted(EngineSpec("letters", "scripted", options=options))


_SMOLLM2_OPTIONS = {"sessions": 3, "context_length": 256, "cells": 768, "batch_tokens": 32}


async def _llama_cpp_smollm2() -> Engine:
    return await _hosted(EngineSpec("smollm2", "llama_cpp", str(smollm2()), _SMOLLM2_OPTIONS))


async def _llama_cpp_smollm2_f16() -> Engine:
    options = {**_SMOLLM2_OPTIONS, "kv_type_k": "f32", "kv_type_v": "f32"}
    return await _hosted(EngineSpec("smollm2", "llama_cpp", str(smollm2_f16()), options))


async def _llama_cpp_stories() -> Engine:
    options = {"sessions": 3, "context_length": 512, "cells": 1536, "batch_tokens": 32}
    return await _hosted(EngineSpec("stories", "llama_cpp", str(stories260k()), options))


async def _llama_cpp_sliding_window() -> Engine:
    return await _hosted(EngineSpec("window", "llama_cpp", str(sliding_window()), _SMOLLM2_OPTIONS))


async def _llama_cpp_recurrent() -> Engine:
    return await _hosted(EngineSpec("recurrent", "llama_cpp", str(recurrent()), _SMOLLM2_OPTIONS))


async def _vllm_random() -> Engine:
    options = {"sessions": 3, "context_length": 256, "cells": 1536, "dtype": "float32"}
    spec = EngineSpec("random", "vllm", str(ending_llama()), options)
    return await _hosted(spec, available_cores())


CASES = [
    EngineCase("in_process_letters", _in_process_letters),
    EngineCase("in_process_words", _in_process_words),
    EngineCase("in_process_recurrent", _in_process_recurrent),
    EngineCase("in_process_without_fork", _in_process_without_fork),
    EngineCase("in_process_own_sampler", _in_process_own_sampler),
    EngineCase("hosted_scripted", _hosted_scripted, shared=True),
    # Kernels for 4-bit weights round the activations to 8 bits, and so turn the last bit of a sum
    # that was added in another order into up to 0.4 in a log-prob. Faults move it by whole nats.
    EngineCase("llama_cpp_smollm2", _llama_cpp_smollm2, tolerance=0.6, shared=True),
    # The same to 16 bits, at five times the time; small models hold the sums to less than that.
    EngineCase(
        "llama_cpp_smollm2_f16",
        _llama_cpp_smollm2_f16,
        tolerance=3e-2,
        shared=True,
        marks=(pytest.mark.slow,),
    ),
    EngineCase("llama_cpp_stories260k", _llama_cpp_stories, tolerance=1e-2, shared=True),
    EngineCase("llama_cpp_sliding_window", _llama_cpp_sliding_window, tolerance=1e-2, shared=True),
    EngineCase("llama_cpp_recurrent", _llama_cpp_recurrent, tolerance=1e-2, shared=True),
    EngineCase(
        "vllm_random",
        _vllm_random,
        tolerance=5e-3,
        shared=True,
        # The first test waits for the start.
        marks=(pytest.mark.vllm, pytest.mark.timeout(600)),
    ),
]
