"""Computes a few tokens with repacked weights and without, and prints how far they differ.

A program of its own, ``python -m quorate.engines.llama_cpp.trial_run SECONDS``, because what it
tries may end or hang the process; see ``trial``.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quorate.engines.llama_cpp.start import native_library_alone
from quorate.engines.llama_cpp.trial_model import VOCABULARY, trial_model, trial_prompt

_TOKENS_ONE_BY_ONE = 3


def main(arguments: list[str]) -> int:
    """Prints one JSON line: ``kernels``, whether llama.cpp has any for AMX; and ``difference``.

    That is the root mean square of the differences of logits, as a share of the logits' own; null
    where a number is missing.
    """
    # Should nobody wait any more, it still ends.
    signal.alarm(max(1, int(float(arguments[0]))))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with native_library_alone():
        from llama_cpp import llama_cpp as native

    if b"AMX_INT8 = 1" not in native.llama_print_system_info():
        print(json.dumps({"kernels": False, "difference": 0.0}))
        return 0
    with tempfile.TemporaryDirectory(prefix="quorate-trial-") as folder:
        path = Path(folder) / "trial.gguf"
        path.write_bytes(trial_model())
        plain = _logits(path, repack=False)
        repacked = _logits(path, repack=True)
    print(json.dumps({"kernels": True, "difference": difference(plain, repacked)}))
    return 0


def difference(plain: npt.NDArray[np.float32], repacked: npt.NDArray[np.float32]) -> float | None:
    """How far two arrays of logits differ, as a share of the first; None with missing numbers."""
    if not (np.isfinite(plain).all() and np.isfinite(repacked).all()):
        return None
    scale = float(np.sqrt(np.mean(np.square(plain, dtype=np.float64))))
    apart = float(np.sqrt(np.mean(np.square(plain - repacked, dtype=np.float64))))
    return apart / scale if scale else None


def _logits(path: Path, *, repack: bool) -> npt.NDArray[np.float32]:
    """Rows behind a prompt in one call and behind some tokens singly, shape (rows, vocabulary)."""
    from llama_cpp import llama_cpp as native

    silence = native.llama_log_callback(lambda level, text, data: None)
    native.llama_log_set(silence, ctypes.c_void_p(0))
    native.llama_backend_init()
    loading = native.llama_model_default_params()
    loading.use_extra_bufts = repack
    loading.n_gpu_layers = 0
    model = native.llama_model_load_from_file(os.fsencode(path), loading)
    params = native.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 128
    params.n_threads = params.n_threads_batch = min(2, len(os.sched_getaffinity(0)))
    context = native.llama_init_from_model(model, params) if model else None
    if not context:
        raise RuntimeError("llama.cpp cannot load the model of the trial")
    prompt = trial_prompt()
    rows = []
    for tokens in (prompt, *([token] for token in prompt[:_TOKENS_ONE_BY_ONE])):
        ids = (native.llama_token * len(tokens))(*tokens)
        if native.llama_decode(context, native.llama_batch_get_one(ids, len(tokens))):
            raise RuntimeError("llama.cpp cannot decode in the trial")
        row = native.llama_get_logits_ith(context, -1)
        rows.append(np.ctypeslib.as_array(row, (VOCABULARY,)).copy())
    native.llama_free(context)
    native.llama_model_free(model)
    return np.stack(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
