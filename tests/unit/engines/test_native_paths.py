from __future__ import annotations

import signal

import pytest

from quorate.engines.native_paths import without_build_paths
from quorate.engines.worker.transport.process import exit_cause


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "/tmp/pip-build-x1/vendor/llama.cpp/ggml/src/ggml.c:19: GGML_ASSERT(a > 0) failed",
            "ggml.c:19: GGML_ASSERT(a > 0) failed",
        ),
        ("/builds/b/src/llama-vocab.cpp:7: fatal error", "llama-vocab.cpp:7: fatal error"),
        ("C:\\build\\ggml-cuda.cu:90: CUDA error", "ggml-cuda.cu:90: CUDA error"),
        ("../ggml/src/x.h:1: GGML_ABORT", "x.h:1: GGML_ABORT"),
        ("failed in /a/b/c.cpp:3 and /d/e.hpp:4", "failed in c.cpp:3 and e.hpp:4"),
        ("cannot open /models/a.gguf", "cannot open /models/a.gguf"),
        ("a.c:3: GGML_ASSERT(n > 0) failed", "a.c:3: GGML_ASSERT(n > 0) failed"),
        ("1/2 of it", "1/2 of it"),
        ("", ""),
    ],
)
def test_paths_of_sources_are_cut_to_names_and_no_other_is(text: str, expected: str) -> None:
    assert without_build_paths(text) == expected


def test_a_hostile_line_is_cut_in_no_time() -> None:
    for line in ("/a" * 50_000, "a" * 100_000, "/" * 100_000 + ".c", "../" * 30_000 + "x"):
        assert len(without_build_paths(line)) <= len(line)


def test_the_end_of_a_worker_names_no_machine_that_built_it() -> None:
    line = "/build/llama.cpp/src/llama-kv-cache.cpp:88: GGML_ASSERT(cells) failed"
    cause = exit_cause(-signal.SIGABRT, [line])
    assert cause == "aborted: llama-kv-cache.cpp:88: GGML_ASSERT(cells) failed"
