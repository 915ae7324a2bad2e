"""The floor of scoring: llama.cpp reads prompts in a bare loop, with as many rows as are asked for.

Reads one JSON command per line from standard input and answers with one JSON line:
``{"tokens": [1, 2, 3], "rows": 1}`` reads a prompt into an empty context, has logits computed
behind the last so many of its tokens, and answers with the ``seconds`` that took. Each row is
looked through once, as whoever asked for it would.

    python bare_rows.py PATH.gguf CONTEXT CORES
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import llama_cpp
from bare_commands import answer_commands, core_ids
from quorate_bench.peers.programs.llama_loop import LlamaLoop


class _Reader(LlamaLoop):
    """Reads prompts of one batch at most."""

    def seconds(self, tokens: Sequence[int], rows: int) -> float:
        """How long it takes to read these tokens, with the last so many rows."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        began = time.perf_counter()
        self._step([(0, place, token) for place, token in enumerate(tokens)], rows)
        return time.perf_counter() - began


def main() -> None:
    """Answers commands until standard input ends."""
    path, context, given = sys.argv[1:]
    cores = core_ids(given)
    os.sched_setaffinity(0, cores)
    model = _Reader(path, len(cores), 1, int(context))
    answer_commands(lambda tokens, rows: {"seconds": model.seconds(tokens, rows)}, sys.stdout)


if __name__ == "__main__":
    main()
