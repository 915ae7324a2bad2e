"""The floor: llama.cpp driven by nothing but a loop.

It does what every user of llama.cpp must do and no more: prefill, then decode and take the best
token from the raw logits. Prompts are read one after the other; then all answers grow in one batch.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from collections.abc import Sequence

import llama_cpp
import numpy as np
import numpy.typing as npt

from quorate.engines.llama_cpp.loading import repacks
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import prepared_options

_BATCH = 512


class LlamaLoop:
    """A model and a context.

    Args:
        path: A GGUF file.
        threads: That compute.
        streams: Most answers at once.
        context: Most tokens of each, with its prompt.
    """

    def __init__(self, path: str, threads: int, streams: int, context: int) -> None:
        llama_cpp.llama_backend_init()
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        loading = llama_cpp.llama_model_default_params()
        # As the engine does, or the two sides would run other kernels.
        loading.use_extra_bufts = _repacks()
        model = llama_cpp.llama_model_load_from_file(path.encode(), loading)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context * streams
        params.n_batch = params.n_ubatch = _BATCH
        params.n_seq_max = streams
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.no_perf = True
        self._context = llama_cpp.llama_init_from_model(model, params)
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a raw prompt."""
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, len(ids), True, False)
        return list(ids[:count])

    def run(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[float]]:
        """Answers greedily, whatever the answers say.

        Returns:
            When each token of each answer came, in seconds from the call.
        """
        memory = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_clear(memory, True)
        started = time.perf_counter()
        best, moments = [], []
        for stream, prompt in enumerate(prompts):
            best.append(self._prefill(stream, prompt))
            moments.append([time.perf_counter() - started])
        for count in range(tokens - 1):
            entries = [(s, len(prompts[s]) + count, best[s]) for s in range(len(prompts))]
            best = self._step(entries, len(entries))
            now = time.perf_counter() - started
            for one in moments:
                one.append(now)
        return moments

    def _prefill(self, stream: int, prompt: Sequence[int]) -> int:
        entries = [(stream, position, token) for position, token in enumerate(prompt)]
        for start in range(0, len(entries), _BATCH):
            best = self._step(entries[start : start + _BATCH], 1)
        return best[0]

    def _step(self, entries: Sequence[tuple[int, int, int]], wanted: int) -> list[int]:
        """One decode call; the best token of each of the last ``wanted`` entries."""
        batch = self._batch
        batch.n_tokens = len(entries)
        first_wanted = len(entries) - wanted
        for index, (stream, position, token) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = stream
            batch.logits[index] = index >= first_wanted
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        return [int(self._logits(i).argmax()) for i in range(first_wanted, len(entries))]

    def _logits(self, index: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, (self._size,))


def _repacks() -> bool:
    prepared = prepared_options("llama_cpp", {})
    return repacks(LlamaCppOptions.from_mapping(prepared, "options"))


def main() -> None:
    """Answers lines until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--context", type=int, default=2048)
    given = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    model = LlamaLoop(given.path, threads, given.streams, given.context)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"moments": model.run(asked["prompts"], asked["tokens"])}), flush=True)


if __name__ == "__main__":
    main()
