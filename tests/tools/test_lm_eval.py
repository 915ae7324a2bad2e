"""lm-evaluation-harness, by its own command line, against the HTTP API."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hub_tokenizer import write_tokenizer

from quorate.client import Client
from support.foreign_tools import OURS, ran, samples, shown
from support.gguf_files import smollm2, stories260k
from support.http_door import door
from support.repository import read
from support.whole_service import gguf

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]

EXACT = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": "off"}
"""Of a model with float32 weights: what it computes then hardly depends on the shape of a batch."""
QUESTIONS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("What is the capital of France?", ("Paris", "Rome", "Oslo"), 0),
    ("What is the opposite of hot?", ("blue", "cold", "a warm summer day"), 1),
    ("Lily went to the park with her mom. What did she see?", ("a big red ball", "no"), 0),
    ("How many days are in a week?", ("five", "six", "seven", "eight"), 2),
)
LIKELY = """
task: likely
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WRITTEN = """
task: written
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match}]
"""
SURPRISING = """
task: surprising
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: bits_per_byte}]
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with the tasks, and with the questions that all of them are about."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = [
        json.dumps({"question": question, "choices": choices, "answer": answer})
        for question, choices, answer in QUESTIONS
    ]
    data = folder / "questions.jsonl"
    data.write_text("\n".join(lines), encoding="utf-8")
    source = (
        f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        "test_split: test\nmetadata: {version: 1}\n"
    )
    for name, task in (("likely", LIKELY), ("written", WRITTEN), ("surprising", SURPRISING)):
        (folder / f"{name}.yaml").write_text(task + source, encoding="utf-8")
    return folder


async def evaluated(
    home: Path,
    tasks: Path,
    command: str,
    names: Iterable[str],
    *more: str,
    own_tasks: bool = False,
    **arguments: object,
) -> tuple[dict[str, Any], Path]:
    """Runs one of the document's commands on tasks of ours; results by task, and the logs' folder.

    Args:
        *more: Further words of the command.
        own_tasks: Whether the harness reads of its own tasks too, as it does by itself.
        **arguments: For the model, beside or instead of those of the command.
    """
    words = shlex.split(command.replace("\\\n", " "))
    place = words.index("--model_args") + 1
    given = {**dict(one.split("=", 1) for one in words[place].split(",")), **arguments}
    words[place] = ",".join(f"{name}={value}" for name, value in given.items())
    words[words.index("--tasks") + 1] = ",".join(names)
    out = home / "out"
    if not own_tasks:
        words[:1] = ["python", str(OURS / "lm_eval_program.py")]
    words += ["--include_path", str(tasks), "--output_path", str(out), "--log_samples", *more]
    await ran(home, *words)
    (results,) = out.rglob("results_*.json")
    return json.loads(results.read_text(encoding="utf-8"))["results"], out


async def agree(client: Client, out: Path, **plan: Any) -> None:
    """Every log-likelihood that the harness found is the score of that continuation."""
    compared = 0
    for sample in samples(out, "likely"):
        for asked, told in zip(sample["arguments"].values(), sample["resps"], strict=True):
            score = await client.score(asked["arg_0"], asked["arg_1"], **plan)
            assert float(told[0][0]) == pytest.approx(score.logprob, abs=1e-3)
            compared += 1
    assert compared == sum(len(choices) for _, choices, _ in QUESTIONS)


async def writes(client: Client, out: Path, ask: Callable[[str], dict[str, Any]]) -> None:
    """Every text that the harness was answered with is what the client is answered with."""
    found = {sample["doc"]["question"]: sample["resps"] for sample in samples(out, "written")}
    assert len(found) == len(QUESTIONS)
    for question, texts in found.items():
        limits = {"temperature": 0.0, "max_tokens": 12, "stop": ["\n\n"]}
        assert texts == [[await client.complete(**ask(question), **limits)]]


async def test_log_likelihoods_of_its_command_are_those_of_score(
    tmp_path: Path, tasks: Path
) -> None:
    tokenizer = tmp_path / "tokenizer"
    write_tokenizer(stories260k(), tokenizer)
    models = [gguf(name, stories260k(), **EXACT) for name in ("small", "large")]
    async with door(tmp_path, *models) as (service, _), Client(service.address) as client:
        command = shown("docs/tools.md", "sh", "arc_easy", service.http_address)
        results, out = await evaluated(
            tmp_path,
            tasks,
            command,
            ["likely"],
            own_tasks=True,
            tokenizer=tokenizer,
            add_bos_token=True,
        )
        await agree(client, out, models=["small", "large"])
    assert 0.0 <= results["likely"]["acc,none"] <= 1.0


async def test_the_surprise_of_a_text_is_its_score_behind_nothing(
    tmp_path: Path, tasks: Path
) -> None:
    tokenizer = tmp_path / "tokenizer"
    write_tokenizer(stories260k(), tokenizer)
    model = gguf("a", stories260k(), **EXACT)
    async with door(tmp_path, model) as (service, _), Client(service.address) as client:
        command = shown("docs/tools.md", "sh", "arc_easy", service.http_address)
        # The harness puts what begins a text before it by itself here.
        results, out = await evaluated(
            tmp_path, tasks, command, ["surprising"], model="a", tokenizer=tokenizer
        )
        nats = 0.0
        for sample in samples(out, "surprising"):
            (told,) = sample["resps"]
            score = await client.score("", sample["doc"]["question"], model="a")
            assert float(told[0]) == pytest.approx(score.logprob, abs=1e-3)
            nats -= score.logprob
    size = sum(len(question.encode()) for question, _, _ in QUESTIONS)
    bits = nats / math.log(2.0) / size
    assert results["surprising"]["bits_per_byte,none"] == pytest.approx(bits, abs=1e-3)


async def test_batches_and_several_at_once_are_judged_as_one_by_one(
    tmp_path: Path, tasks: Path
) -> None:
    tokenizer = tmp_path / "tokenizer"
    write_tokenizer(stories260k(), tokenizer)
    model = gguf("a", stories260k(), **EXACT)
    async with door(tmp_path, model) as (service, _), Client(service.address) as client:
        command = shown("docs/tools.md", "sh", "arc_easy", service.http_address)
        _, out = await evaluated(
            tmp_path,
            tasks,
            command,
            ["likely", "written"],
            "--batch_size",
            "4",
            model="a",
            tokenizer=tokenizer,
            add_bos_token=True,
            num_concurrent=2,
        )
        await agree(client, out, model="a")
        await writes(client, out, lambda question: {"prompt": question, "model": "a"})


async def test_chats_are_answered_as_the_client_s(tmp_path: Path, tasks: Path) -> None:
    models = [gguf(name, smollm2(), context_length=1024) for name in ("small", "large")]
    async with door(tmp_path, *models) as (service, _), Client(service.address) as client:
        command = shown("docs/tools.md", "sh", "gsm8k", service.http_address)
        _, out = await evaluated(tmp_path, tasks, command, ["written"])
        members = ["small", "large"]
        await writes(
            client, out, lambda question: {"messages": [("user", question)], "models": members}
        )


def test_the_readme_s_command_is_the_document_s() -> None:
    (command,) = (block for block in read("docs/tools.md").split("```sh\n") if "arc_easy" in block)
    assert command.split("```")[0] in read("README.md")
