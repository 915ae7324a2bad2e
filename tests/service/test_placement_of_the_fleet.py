"""Four models, work that moves between them, and the threads and cores that it takes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from quorate.engines.spec import EngineSpec
from support.gguf_files import smollm2
from support.moving_work import (
    Threads,
    Work,
    cores_of_a_lone_request,
    fleet_of,
    usable_cores,
)

CORES = usable_cores()[:2]


def four_models() -> list[EngineSpec]:
    small = {"context_length": 256, "sessions": 4}
    toy = {"uses_cores": True, "sessions": 4, "vocabulary": "words"}
    return [
        EngineSpec("a", "llama_cpp", str(smollm2()), small),
        EngineSpec("b", "llama_cpp", str(smollm2()), small),
        EngineSpec("c", "scripted", "", toy | {"step_delay_ms": 3.0}),
        EngineSpec("d", "scripted", "", toy | {"step_delay_ms": 9.0}),
    ]


@dataclass(frozen=True)
class Proof:
    """What was seen of cores while work moved.

    Attributes:
        answered: Tokens of each model.
        least: The fewest that any model answered in a round.
        alone: The fewest cores that a lone request had from 50 ms after it began.
    """

    seconds: float
    rounds: int
    threads: Threads
    work: Work
    answered: Mapping[str, int]
    least: int
    alone: float

    def __str__(self) -> str:
        threads, slowest = self.threads, self.work.slowest
        models = ", ".join(
            f"{model} {count} tokens, longest wait {slowest[model]:.2f} s"
            for model, count in sorted(self.answered.items())
        )
        return (
            f"{self.seconds:.0f} s in {self.rounds} rounds on {len(CORES)} cores\n"
            f"threads: {threads.samples} samples, {threads.above} above the cores "
            f"({threads.above / threads.samples:.2%}), most {threads.most_seen}, longest "
            f"{threads.longest_seconds * 1e3:.0f} ms\n"
            f"{models}; at least {self.least} of each in a round\n"
            f"a lone request, behind 50 ms: at least {self.alone:.2f} cores"
        )


async def proven(seconds: float, rounds: int) -> Proof:
    """Runs work of so many seconds, in rounds, and looks at what must hold however slow it is."""
    specs = four_models()
    models = [spec.model for spec in specs]
    answered = Counter[str]()
    least, alone = [], []
    async with fleet_of(CORES, *specs) as fleet:
        pids = fleet.process_ids()
        work = Work(fleet, models, seed=rounds)
        began = time.monotonic()
        with Threads([pids[model] for model in models], len(CORES)) as threads:
            while time.monotonic() - began < seconds:
                work.answered.clear()
                await work.go_on(seconds / rounds)
                # Nobody starves, neither a model nor a request.
                least.append(min(work.answered.get(model, 0) for model in models))
                assert least[-1] > 0
                answered.update(work.answered)
                for model in models:
                    alone.append(await cores_of_a_lone_request(fleet, model))
                    assert alone[-1] == pytest.approx(len(CORES))
        assert fleet.process_ids() == pids
        assert threads.samples > 50
    return Proof(seconds, len(least), threads, work, answered, min(least), min(alone))


@pytest.mark.demo_model
async def test_cores_follow_work_that_moves_between_models() -> None:
    await proven(seconds=8.0, rounds=2)


@pytest.mark.slow
@pytest.mark.demo_model
@pytest.mark.timeout(900)
async def test_cores_follow_work_that_moves_between_models_for_long() -> None:
    seconds = float(os.environ.get("QUORATE_PROOF_SECONDS", "300"))
    proof = await proven(seconds, rounds=max(2, round(seconds / 10)))
    print(f"\n{proof}")
    assert max(proof.work.slowest.values()) < 30.0
    # A machine that is busy with something else hands cores over late.
    assert proof.threads.above <= 0.05 * proof.threads.samples
    assert proof.threads.longest_seconds < 0.1
