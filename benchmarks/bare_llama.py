"""The floor: llama.cpp driven by nothing but a loop, in a process of its own.

Reads one JSON command per line from standard input and answers with one JSON line:
``{"streams": 8, "tokens": 128}`` decodes greedily from the prompt and answers with the seconds that
the tokens after the first took, ``seconds``, and those of the prefill, ``prefill_seconds``.

It does what every user of llama.cpp must do and no more: prefill, then decode and take the best
token from the raw logits.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Sequence

import llama_cpp
import numpy as np
import numpy.typing as npt
from bare_commands import answer_commands, options

from quorate.engines.llama_cpp.loading import repacks
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import prepared_options


class BareModel:
    """A model and a context with as many threads as cores were given."""

    def __init__(self, path: str, cores: Sequence[int], streams: int, context: int) -> None:
        os.sched_setaffinity(0, cores)
        llama_cpp.llama_backend_init()
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        loading = llama_cpp.llama_model_default_params()
        # As the engine does, or the two sides would run other kernels.
        loading.use_extra_bufts = _repacks()
        model = llama_cpp.llama_model_load_from_file(path.encode(), loading)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context * streams
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = streams
        params.n_threads = params.n_threads_batch = len(cores)
        params.kv_unified = True
        params.no_perf = True
        self._context = llama_cpp.llama_init_from_model(model, params)
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a raw prompt."""
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, len(ids), True, False)
        return list(ids[:count])

    def run(self, prompt: Sequence[int], streams: int, tokens: int) -> dict[str, float]:
        """Decodes ``tokens`` tokens in each of ``streams`` sequences, greedily."""
        memory = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_clear(memory, True)
        started = time.perf_counter()
        for stream in range(streams):
            best = [self._step([(stream, pos, t) for pos, t in enumerate(prompt)], 1)[0]]
        prefill = time.perf_counter() - started
        best = best * streams
        started = time.perf_counter()
        for position in range(len(prompt), len(prompt) + tokens - 1):
            best = self._step([(s, position, best[s]) for s in range(streams)], streams)
        return {"seconds": time.perf_counter() - started, "prefill_seconds": prefill}

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
    """Answers commands until standard input ends."""
    given = options()
    model = BareModel(given.path, given.cores, given.streams, given.context)
    prompt = model.tokenize(given.prompt)
    answer_commands(lambda streams, tokens: model.run(prompt, streams, tokens), sys.stdout)


if __name__ == "__main__":
    main()
