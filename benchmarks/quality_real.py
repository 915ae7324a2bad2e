"""Accuracy, time and energy of every kind of plan, on real models and public questions.

Each question is asked of each plan once, through a real server, one after the other, so that times
and joules are those of a request alone. Answers are kept in a file, from which a run that was ended
goes on; what is printed is worked out from that file alone.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from figures import Figure, figure
from processes import configuration, model_table, server

from quorate.calibration.answers import TEMPERATURE_OF_SAMPLES, Answer, AnswerFile
from quorate.calibration.dataset import read_dataset
from quorate.calibration.grading import Case, Match, is_right
from quorate.calibration.intervals import compare, difference_interval
from quorate.cli.calibrating import ask_all, asked_plan
from quorate.client import Client, PlanOptions

TASKS = ("arc_easy", "arc_challenge", "openbookqa", "boolq", "gsm8k")
_MAX_TOKENS = {Match.CHOICE: 16, Match.NUMERIC: 320}
_SAMPLES = 5
_SESSIONS, _CONTEXT = 16, 2048
_WARM = {"temperature": TEMPERATURE_OF_SAMPLES, "seed": 1}
_POINT = 100.0


@dataclass(frozen=True)
class Plans:
    """What is asked, by name, and which of it are members alone.

    Attributes:
        members: Of all plans, the largest first.
        options: Arguments of the client for each plan.
    """

    members: Sequence[str]
    options: Mapping[str, Mapping[str, Any]]


def plans_for(members: Sequence[str], compare_by: str) -> Plans:
    """Every kind of plan over these members, of which the first two share a vocabulary.

    Args:
        members: Ids, the largest first.
        compare_by: How whole answers are compared.
    """
    large, small = members[:2]
    both = {large: 0.5, small: 0.5}
    whole: dict[str, Any] = {"compare": compare_by}
    options: dict[str, Mapping[str, Any]] = {one: {"model": one} for one in members}
    options |= {
        "vote of tokens": {"models": both},
        "vote of tokens, 0.8": {"models": {large: 0.8, small: 0.2}},
        "vote of tokens, geometric": {"models": both, "rule": "geometric"},
        "vote of tokens, majority": {"models": {large: 0.6, small: 0.4}, "rule": "majority"},
        "vote of tokens, by confidence": {"models": both, "weighting": "confidence"},
        "gated, the large one leads": {
            "models": both,
            "weighting": "gated",
            "gate_leader": large,
            "gate_threshold": 0.5,
        },
        "gated, the small one leads": {
            "models": {large: 0.9, small: 0.1},
            "weighting": "gated",
            "gate_leader": small,
            "gate_threshold": 0.8,
        },
        "whole answers": {"answers": list(members), **whole},
        "whole answers, by confidence": {
            "answers": list(members),
            "weighting": "confidence",
            **whole,
        },
        "whole answers, by likelihood": {"answers": list(both), "select": "likelihood", **whole},
        f"{_SAMPLES} samples of {large}": {
            "answers": [large],
            "samples": _SAMPLES,
            **whole,
            **_WARM,
        },
        "cascade": {"stages": [(small, 0.7), large]},
    }
    if len(members) > 2:
        options["vote of bytes"] = {"models": [large, members[2]]}
    return Plans(members, options)


def measure_real(
    models: Mapping[str, Path], data: Path, kept: Path, most: int | None, tasks: Sequence[str]
) -> list[Figure]:
    """Asks what was not asked yet, and works out the figures of all tasks."""
    figures: list[Figure] = []
    cores = sorted(os.sched_getaffinity(0))
    sizes = {"sessions": _SESSIONS, "context_length": _CONTEXT, "cells": 4 * _CONTEXT}
    tables = [
        model_table(name, path.absolute(), len(cores), "llama_cpp", **sizes)
        for name, path in models.items()
    ]
    with server(configuration(*tables), cores, len(models)) as served:
        for task in tasks:
            cases = read_dataset(data / f"{task}.jsonl", "task").spread(most)
            figures += asyncio.run(_task(served.address, task, cases, list(models), kept))
    return figures


async def _task(
    address: str, task: str, cases: Sequence[Case], members: Sequence[str], kept: Path
) -> list[Figure]:
    match = cases[0].match
    plans = plans_for(members, "numeric" if match is Match.NUMERIC else "choice")
    most = _MAX_TOKENS[match]
    async with Client(address) as client:
        known = {model.id: model for model in await client.models()}
        asked = {
            name: await asked_plan(client, name, cast("PlanOptions", dict(options)), known)
            for name, options in plans.options.items()
        }
        with AnswerFile(kept).open(restart=False) as answers:
            await ask_all(
                client,
                list(asked.values()),
                cases,
                answers,
                max_tokens=most,
                concurrency=1,
                progress=_progress(task),
            )
            told = {name: answers.of(plan.calibrated, cases, most) for name, plan in asked.items()}
    return _figures(task, cases, plans, told)


def _progress(task: str) -> Any:
    def tell(done: int, of: int) -> None:
        if done % 50 == 0 or done == of:
            print(f"  {task}: {done} of {of} answers …", file=sys.stderr, flush=True)

    return tell


def _figures(
    task: str, cases: Sequence[Case], plans: Plans, told: Mapping[str, Mapping[str, Answer]]
) -> list[Figure]:
    right = {
        name: [is_right(answers[case.id].text, case) for case in cases]
        for name, answers in told.items()
    }
    best = max(plans.members, key=lambda name: sum(right[name]))
    found = []
    for name, answers in told.items():
        seconds = [answers[case.id].duration_ms / 1e3 for case in cases]
        joules = [answers[case.id].joules for case in cases]
        energy = math.fsum(one or 0.0 for one in joules) / len(cases)
        mean = math.fsum(seconds) / len(cases)
        detail = f"{mean:.2f} s, {energy:.1f} J, {len(cases)} questions"
        if name != best:
            detail += f"; {_against(right[name], right[best], best)}"
        share = _POINT * sum(right[name]) / len(cases)
        found.append(figure(f"{task}: {name}", share, "%", detail))
    oracle = [any(right[name][at] for name in plans.members) for at in range(len(cases))]
    share = _POINT * sum(oracle) / len(cases)
    return [*found, figure(f"{task}: any member", share, "%", "the most that a choice could have")]


def _against(ours: Sequence[bool], theirs: Sequence[bool], best: str) -> str:
    """The difference to the best member, and what it says of whether the plan pays."""
    told = compare(ours, theirs)
    gap = difference_interval([float(one) for one in ours], [float(one) for one in theirs])
    verdict = {"better": "pays", "worse": "does not pay"}.get(told.verdict, told.verdict)
    low, high = _POINT * gap.low, _POINT * gap.high
    return f"{_POINT * gap.value:+.1f} points ({low:+.1f} to {high:+.1f}) against {best}: {verdict}"
