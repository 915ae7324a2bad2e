"""What lm-evaluation-harness takes for multiple choice, against bare prefill of the same tokens.

Questions of general knowledge with four choices each go through the harness's ``local-completions``
to a real server, one request after the other as it does by itself: each choice is a prompt of its
own, which the server is asked to echo with log-probs. The floor is llama.cpp in a bare loop that
reads each of these prompts whole and computes one row of logits behind it. An echo has a log-prob
of every token, so that the server must compute a row behind each, but what the choices of one
question have in common only once: what the rows alone cost the bare loop is told too, of a tenth of
the prompts.

    PYTHONPATH=scripts python benchmarks/lm_eval_questions.py --model PATH.gguf [--questions N]
        [--batch N] [--at-once N] [--json]

Needs the environment of ``scripts/setup_tools``. The two sides take their turn once, a quarter
of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import figure, report, say
from general_questions import general_questions
from hub_tokenizer import write_tokenizer
from processes import HERE, Commanded, configuration, model_table, server

_TOOLS = HERE.parent / ".venv-tools" / "bin" / "python"
_CHOICES = 4
_CONTEXT = 1024
_MOST = 1.5
_SAMPLED = 10
_TASK = """
task: questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}]
metadata: {{version: 1}}
"""


@dataclass(frozen=True)
class _Asked:
    """A question of multiple choice.

    Attributes:
        answer: Which of the choices is right.
    """

    prompt: str
    choices: tuple[str, ...]
    answer: int


def multiple_choice(count: int) -> Iterator[_Asked]:
    """Questions whose wrong choices are the answers to the next ones, mostly of their kind."""
    every = general_questions()
    step = max(1, len(every) // count)
    for place, start in enumerate(range(0, step * count, step)):
        known = dict.fromkeys(
            every[(start + index) % len(every)].gold[0] for index in range(len(every))
        )
        right, *wrong = list(known)[:_CHOICES]
        answer = place % _CHOICES
        choices = (*wrong[:answer], right, *wrong[answer:])
        listed = "".join(f"- {choice}\n" for choice in choices)
        text = every[start].text
        yield _Asked(f"Question: {text}\nChoices:\n{listed}Answer:", choices, answer)


def write_task(folder: Path, questions: Sequence[_Asked]) -> None:
    """Writes what the harness reads."""
    data = folder / "questions.jsonl"
    lines = [json.dumps({"prompt": q.prompt, "choices": q.choices, "answer": q.answer})
             for q in questions]  # fmt: skip
    data.write_text("\n".join(lines), encoding="utf-8")
    (folder / "questions.yaml").write_text(_TASK.format(data=data), encoding="utf-8")


def harness(
    model: Path, folder: Path, cores: Sequence[int], batch: int, at_once: int
) -> dict[str, Any]:
    """Seconds and accuracy of the harness with a server of its own."""
    sizes = {"sessions": 64, "context_length": _CONTEXT, "cells": 8 * _CONTEXT}
    table = model_table("model", model.resolve(), len(cores), "llama_cpp", **sizes)
    config = configuration(table, '[http]\nlisten = "127.0.0.1:0"')
    with server(config, cores, 1) as served:
        words = [
            f"http://{served.http}/v1/completions",
            "model",
            str(folder / "tokenizer"),
            str(folder),
            "questions",
            str(batch),
            str(at_once),
        ]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
        done = subprocess.run(
            [str(_TOOLS), str(HERE / "lm_eval_loop.py"), *words],
            env={**os.environ, **offline},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"lm_eval_questions: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def bare_prefill(
    model: Path, cores: Sequence[int], prompts: Sequence[Sequence[int]], *, every_row: bool
) -> float:
    """Seconds in which a bare loop reads these prompts, one after the other.

    Args:
        model: A GGUF file.
        cores: Cores it runs on.
        prompts: Token ids of each.
        every_row: Whether logits are computed behind every token, not the last one alone.
    """
    bare = Commanded("bare_rows.py", str(model), str(_CONTEXT), ",".join(map(str, cores)))
    try:
        took = [
            bare.ask(tokens=list(prompt), rows=len(prompt) if every_row else 1)["seconds"]
            for prompt in [prompts[0], *prompts]
        ]
    finally:
        bare.close()
    # The first one warmed it up.
    return float(sum(took[1:]))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1, help="prompts of a request, 16 at most")
    parser.add_argument("--at-once", type=int, default=1, help="requests at once")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not _TOOLS.exists():
        parser.error("lm-evaluation-harness is not here: scripts/setup_tools")
    cores = sorted(os.sched_getaffinity(0))
    questions = list(multiple_choice(options.questions))
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        write_task(folder, questions)
        tokenizer = write_tokenizer(options.model, folder / "tokenizer")
        texts = [f"{q.prompt} {choice}" for q in questions for choice in q.choices]
        prompts = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        tokens = sum(map(len, prompts))
        say(f"bare prefill of {len(prompts)} prompts, {tokens} tokens")
        theirs = bare_prefill(options.model, cores, prompts, every_row=False)
        some = prompts[::_SAMPLED]
        say(f"the same of {len(some)} of them with and without logits of every token")
        one_row, every_row = (
            bare_prefill(options.model, cores, some, every_row=rows) for rows in (False, True)
        )
        say(f"{len(questions)} questions through lm-evaluation-harness")
        found = harness(options.model, folder, cores, options.batch, options.at_once)
    ours = found["seconds"]
    detail = f"{ours:.1f} against {theirs:.1f} s, {tokens} tokens"
    rows = f"{every_row:.1f} against {one_row:.1f} s, {len(some)} prompts"
    figures = [
        figure("lm-evaluation-harness / bare prefill", ours / theirs, "x", detail, at_most=_MOST),
        figure("bare, logits of every token / of the last", every_row / one_row, "x", rows),
        figure("right", 100.0 * found["accuracy"], "%", f"{len(questions)} questions"),
    ]
    report(figures, "json" if options.json else "table")


if __name__ == "__main__":
    main()
