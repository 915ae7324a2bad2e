"""lm-evaluation-harness asking a server, in a process of its own, in the environment of the tools.

python lm_eval_loop.py COMPLETIONS_URL MODEL TOKENIZER TASKS TASK BATCH AT_ONCE

Tells how long an evaluation took, from the tasks' files to the result, as JSON; what Python imports
and what the harness knows of tasks are there before.
"""

from __future__ import annotations

import json
import sys
import time

import transformers
from lm_eval import simple_evaluate
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

_MODEL = "local-completions"


def main() -> None:
    """Evaluates and prints."""
    url, model, tokenizer, folder, task, batch, at_once = sys.argv[1:]
    get_model(_MODEL)
    transformers.AutoTokenizer.from_pretrained(tokenizer)
    tasks = TaskManager(include_path=folder, include_defaults=False)
    began = time.perf_counter()
    found = simple_evaluate(
        model=_MODEL,
        model_args={
            "model": model,
            "base_url": url,
            "tokenizer": tokenizer,
            "num_concurrent": int(at_once),
        },
        tasks=[task],
        task_manager=tasks,
        batch_size=int(batch),
        bootstrap_iters=0,
        log_samples=False,
    )
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "accuracy": found["results"][task]["acc,none"]}))


if __name__ == "__main__":
    main()
