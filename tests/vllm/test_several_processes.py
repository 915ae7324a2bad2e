"""A model that is spread over several processes, as over several GPUs; here they are processors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.engines.worker.statuses import WorkerPhase
from quorate.fleet.cores import available_cores
from quorate.request import TextPrompt
from support.checkpoints import random_llama
from support.hosted_engines import ends_of, family

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

DEADLINE_SECONDS = 300.0


async def started(folder: Path, **options: Any) -> HostedEngine:
    sizes = {"sessions": 4, "context_length": 128, "cells": 512, "dtype": "float32"}
    spec = EngineSpec("m", "vllm", str(folder), {**sizes, **options})
    engine = HostedEngine(spec, available_cores())
    engine.start()
    await asyncio.wait_for(engine.wait_ready(), DEADLINE_SECONDS)
    return engine


async def heard(engine: HostedEngine) -> tuple[Any, list[float]]:
    """Rows and sums of a family of sessions, and the score of a text."""
    prompt = await engine.encode(TextPrompt("Once upon a time there was a fox"))
    root = await engine.open(40, branches=1)
    rows = [(await root.feed(prompt)).copy()]
    branch = root.branch()
    for session in (root, branch, root):
        rows.append((await session.feed([int(rows[-1].argmax())])).copy())
    sums = root.prefix_sums.copy()
    text = await engine.open(40)
    scores = list(await text.score(prompt))
    for session in (root, branch, text):
        session.close()
    return np.concatenate([*rows, sums]), scores


async def test_two_processes_say_what_one_says_and_end_with_their_worker(
    tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    folder = random_llama(tmp_path / "m", smollm2_checkpoint)
    one = await started(folder)
    rows, scores = await heard(one)
    await one.close()
    two = await started(folder, tensor_parallel=2)
    rows_of_two, scores_of_two = await heard(two)
    np.testing.assert_allclose(rows_of_two, rows, rtol=0, atol=1e-3)
    np.testing.assert_allclose(scores_of_two, scores, rtol=0, atol=1e-3)
    assert two.worker_pid is not None
    processes = family(two.worker_pid)
    assert len(processes) >= 3
    ends = ends_of(processes)
    await two.close()
    await asyncio.wait_for(ends, DEADLINE_SECONDS)
    assert two.status.phase is WorkerPhase.STOPPED
