"""vLLM's own generation, without a server.

    PYTHON vllm_loop.py --streams 4 --context 2048 FOLDER

vLLM is driven as it is fastest on a few cores: in this one process, uncompiled as the service runs
it, and with threads that spin for a moment only. As it comes, with an engine process of its own, it
has two thirds of that speed on two cores. Steps are those of ``LLM.generate``, with the time of
each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any


def main() -> None:
    """Answers lines until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--context", type=int, default=2048)
    given = parser.parse_args()
    # vLLM prints to standard output, which belongs to the answers here.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model = _load(given.folder, given.streams, given.context)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    number = 0
    for line in sys.stdin:
        asked = json.loads(line)
        moments = _run(model, asked["prompts"], asked["tokens"], number)
        number += len(moments)
        print(json.dumps({"moments": moments}), file=answers, flush=True)


def _load(folder: str, streams: int, context: int) -> Any:
    os.environ.update(
        {
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "GOMP_SPINCOUNT": "10000",
            "KMP_BLOCKTIME": "1",
        }
    )
    from vllm import LLM

    return LLM(
        folder,
        skip_tokenizer_init=True,
        max_model_len=context,
        max_num_seqs=streams,
        enforce_eager=True,
        enable_prefix_caching=False,
        disable_log_stats=True,
        distributed_executor_backend="uni",
    )


def _run(
    model: Any, prompts: Sequence[Sequence[int]], tokens: int, number: int
) -> list[list[float]]:
    from vllm import SamplingParams

    engine = model.llm_engine
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False)
    started = time.perf_counter()
    moments: dict[str, list[float]] = {}
    for index, prompt in enumerate(prompts):
        name = str(number + index)
        moments[name] = []
        engine.add_request(name, {"prompt_token_ids": list(prompt)}, params)
    while engine.has_unfinished_requests():
        outputs = engine.step()
        now = time.perf_counter() - started
        for output in outputs:
            # vLLM may add to the id of a request.
            came = moments[output.request_id.split("-")[0]]
            came += [now] * (len(output.outputs[0].token_ids) - len(came))
    return list(moments.values())


if __name__ == "__main__":
    main()
