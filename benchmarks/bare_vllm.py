"""The floor: vLLM's own offline generation, in a process of its own.

Reads one JSON command per line from standard input and answers with one JSON line:
``{"streams": 8, "tokens": 128}`` decodes greedily from the prompt and answers with the seconds that
the tokens after the first took, ``seconds``, and with the tokens of the first stream.

vLLM is driven as it is fastest on a few cores: in this one process, uncompiled as the service runs
it, and with threads that spin for a moment only. As it comes, with an engine process of its own, it
has two thirds of that speed on two cores.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bare_commands import answer_commands, options


def main() -> None:
    """Answers commands until standard input ends."""
    given = options()
    # vLLM prints to standard output, which belongs to the answers here.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model = _load(given.path, given.cores, given.streams, given.context)
    answer_commands(lambda streams, tokens: _run(model, given.prompt, streams, tokens), answers)


def _load(path: str, cores: list[int], streams: int, context: int) -> Any:
    os.sched_setaffinity(0, cores)
    os.environ.update(
        {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(len(cores)),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "GOMP_SPINCOUNT": "10000",
            "KMP_BLOCKTIME": "1",
        }
    )
    from vllm import LLM

    return LLM(
        path,
        max_model_len=context,
        max_num_seqs=streams,
        enforce_eager=True,
        disable_log_stats=True,
        distributed_executor_backend="uni",
    )


def _run(model: Any, prompt: str, streams: int, tokens: int) -> dict[str, Any]:
    first, _ = _seconds(model, prompt, streams, 1)
    whole, said = _seconds(model, prompt, streams, tokens)
    return {"seconds": whole - first, "tokens": said}


def _seconds(model: Any, prompt: str, streams: int, tokens: int) -> tuple[float, list[int]]:
    from vllm import SamplingParams

    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    started = time.perf_counter()
    outputs = model.generate([prompt] * streams, params, use_tqdm=False)
    return time.perf_counter() - started, list(outputs[0].outputs[0].token_ids)


if __name__ == "__main__":
    main()
