"""Questions of two domains: always the small model, always the large one, both, or the router."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import domain_questions
from figures import Figure, figure, say
from general_questions import general_questions
from grading import Question, is_correct
from intervals import difference_interval, mean_interval
from pairs import serving
from streams import answer

from quorate.client import Client

_LARGE, _SMALL = "smollm2", "specialist"
_STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "always small": {"model": _SMALL},
    "always large": {"model": _LARGE},
    "always both": {"profile": "both"},
    "routed": {},
}
_PROFILE = f'[profiles.both]\nmembers = ["{_LARGE}", "{_SMALL}"]\n'
_MAX_TOKENS = 24
_SEED = 11


@dataclass(frozen=True)
class _Answer:
    right: float
    milliseconds: float
    joules: float | None
    plan: str


def measure_mix(generalist: Path, specialist: Path, count: int) -> list[Figure]:
    """Calibrates on one half of the questions and answers the other half in every way.

    Args:
        generalist: Weight file of the large model.
        specialist: Weight file of the small one.
        count: Questions of each domain in each half.
    """
    known, asked = _halves(count)
    models = {_LARGE: generalist, _SMALL: specialist}
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "calibration.json"
        with serving(models, _PROFILE) as served:
            say(f"calibrating on {len(known)} questions")
            _calibrate(served.address, known, Path(folder) / "questions.jsonl", calibration)
        routing = f'[routing]\ncalibration = "{calibration}"\nprobe = false\n'
        with serving(models, _PROFILE + routing) as served:
            answers = asyncio.run(_answer_all(served.address, asked))
    return _figures(answers)


def _halves(count: int) -> tuple[list[tuple[str, Question]], list[tuple[str, Question]]]:
    """Questions with their domain: those to learn from, and those to answer."""
    chosen = random.Random(_SEED)
    known: list[tuple[str, Question]] = []
    asked: list[tuple[str, Question]] = []
    for domain, questions in (("catalogue", domain_questions()), ("general", general_questions())):
        mixed = chosen.sample(list(questions), len(questions))
        half = min(count, len(mixed) // 2)
        known += [(domain, question) for question in mixed[:half]]
        asked += [(domain, question) for question in mixed[half : 2 * half]]
    chosen.shuffle(asked)
    return known, asked


def _calibrate(
    address: str, known: Sequence[tuple[str, Question]], dataset: Path, output: Path
) -> None:
    lines = [
        json.dumps(
            {
                "id": f"{domain}-{index}",
                "messages": [{"role": "user", "content": question.text}],
                "answer": list(question.gold),
                "match": "contains",
                "task": domain,
            }
        )
        for index, (domain, question) in enumerate(known)
    ]
    dataset.write_text("\n".join(lines))
    command = [sys.executable, "-m", "quorate", "calibrate", str(dataset), "--target", address]
    options = ["--output", str(output), "--max-tokens", str(_MAX_TOKENS), "--concurrency", "4"]
    subprocess.run([*command, *options, "--json"], check=True, stdout=subprocess.DEVNULL)


async def _answer_all(
    address: str, asked: Sequence[tuple[str, Question]]
) -> dict[str, list[_Answer]]:
    """Answers in turn, strategy by strategy within each question, so that drift favours none."""
    answers: dict[str, list[_Answer]] = {name: [] for name in _STRATEGIES}
    say(f"{len(asked)} other questions, in {len(_STRATEGIES)} ways")
    async with Client(address) as client:
        for index, (_, question) in enumerate(asked):
            names = list(_STRATEGIES)
            for name in names[index % len(names) :] + names[: index % len(names)]:
                answers[name].append(await _answer(client, question, _STRATEGIES[name]))
    return answers


async def _answer(client: Client, question: Question, plan: Mapping[str, Any]) -> _Answer:
    given = await answer(
        client,
        messages=[("user", question.text)],
        temperature=0.0,
        max_tokens=_MAX_TOKENS,
        **plan,
    )
    return _Answer(
        right=float(is_correct(given.text, question.gold)),
        milliseconds=given.usage.duration_ms,
        joules=given.joules,
        plan=given.plan.name,
    )


def _figures(answers: Mapping[str, Sequence[_Answer]]) -> list[Figure]:
    figures = []
    for name, given in answers.items():
        one = mean_interval([answer.right for answer in given])
        detail = f"95 % {100 * one.low:.1f} to {100 * one.high:.1f}, {len(given)} questions"
        figures.append(figure(f"{name}: right", 100 * one.value, "%", detail))
        time = statistics.mean(answer.milliseconds for answer in given)
        figures.append(figure(f"{name}: time", time, "ms", "mean, one at a time"))
        joules = [answer.joules for answer in given if answer.joules is not None]
        if joules:
            detail = f"mean of {len(joules)}, estimated or measured as the server says"
            figures.append(figure(f"{name}: energy", statistics.mean(joules), "J", detail))
    alone = max(("always small", "always large"), key=lambda name: _right(answers[name]))
    gap = difference_interval(_rights(answers["routed"]), _rights(answers[alone]))
    detail = f"routed - {alone}, 95 % {100 * gap.low:.1f} to {100 * gap.high:.1f}"
    figures.append(figure("routed against the better model", 100 * gap.value, "points", detail))
    plans = [answer.plan for answer in answers["routed"]]
    shares = ", ".join(f"{plan} {plans.count(plan)}" for plan in sorted(set(plans)))
    figures.append(figure("routed: plans", float(len(set(plans))), "", shares))
    return figures


def _rights(answers: Sequence[_Answer]) -> list[float]:
    return [answer.right for answer in answers]


def _right(answers: Sequence[_Answer]) -> float:
    return sum(_rights(answers))
