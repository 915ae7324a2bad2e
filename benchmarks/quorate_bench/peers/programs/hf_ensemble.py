"""A token ensemble as published: Hugging Face members, one after the other, whole rows averaged.

    PYTHON hf_ensemble.py --dtype bfloat16 MODEL.gguf [MODEL.gguf ...]

Step by step every member computes its next row with its KV cache, the rows become probabilities,
their mean is the ensemble's, and its best token is told to all. That is what the code beside papers
on token-level ensembles does for members of one vocabulary, such as GaC (Yu et al., 2024,
"Breaking the Ceiling of the LLM Community by Treating Token Generation as a Classification for
Ensembling"), written as plainly; prompts are answered one after the other, as there. With one
member it is plain greedy decoding by the same loop.

Weights are those of the GGUF files, turned into a floating-point type by transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    """Answers lines until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("members", nargs="+", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    # Libraries print to standard output, which belongs to the answers here.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    members = [
        AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=getattr(torch, given.dtype)
        ).eval()
        for path in given.members
    ]
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter()
        with torch.inference_mode():
            moments = [
                _answer(torch, members, prompt, asked["tokens"], started)
                for prompt in asked["prompts"]
            ]
        print(json.dumps({"moments": moments}), file=answers, flush=True)


def _answer(
    torch: Any, members: Sequence[Any], prompt: Sequence[int], tokens: int, started: float
) -> list[float]:
    told = torch.tensor([list(prompt)])
    caches: list[Any] = [None] * len(members)
    moments = []
    for _ in range(tokens):
        mean: Any = 0
        for index, member in enumerate(members):
            out = member(told, past_key_values=caches[index], use_cache=True, logits_to_keep=1)
            caches[index] = out.past_key_values
            mean = mean + torch.softmax(out.logits[0, -1].float(), dim=-1) / len(members)
        told = mean.argmax().reshape(1, 1)
        int(told)
        moments.append(time.perf_counter() - started)
    return moments


if __name__ == "__main__":
    main()
