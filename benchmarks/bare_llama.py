"""The floor: llama.cpp driven by nothing but a loop, in a process of its own.

Reads one JSON command per line from standard input and answers with one JSON line:
``{"streams": 8, "tokens": 128}`` decodes greedily from the prompt and answers with the seconds that
the tokens after the first took, ``seconds``, and those of the prefill, ``prefill_seconds``.

The loop is that of ``quorate bench peers``.
"""

from __future__ import annotations

import os
import sys

from bare_commands import answer_commands, options
from quorate_bench.peers.programs.llama_loop import LlamaLoop


def main() -> None:
    """Answers commands until standard input ends."""
    given = options()
    os.sched_setaffinity(0, given.cores)
    model = LlamaLoop(given.path, len(given.cores), given.streams, given.context)
    prompt = model.tokenize(given.prompt)

    def run(streams: int, tokens: int) -> dict[str, float]:
        # The last prompt's first token came when all were read.
        moments = model.run([prompt] * streams, tokens)[-1]
        return {"seconds": moments[-1] - moments[0], "prefill_seconds": moments[0]}

    answer_commands(run, sys.stdout)


if __name__ == "__main__":
    main()
